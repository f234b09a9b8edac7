-- Measure 5: the rows of one lifecycle with one input, one output and one log, written with the least effort:
-- plain set-based statements for jobs first to last, the values made by the database itself.
-- One name is one transaction, as one service would make of a batch. Appointments are made once: the daemon's first look
-- comes before any deadline, so no step moves them.

-- name: submitted
INSERT INTO inbox (message_id)
SELECT md5('submit' || g)::uuid FROM generate_series(%(first)s::bigint, %(last)s::bigint, 100) g;
INSERT INTO job (job_id, state, version, attempt_nr, vo, site, label, priority, task_id, job_definition_id, jobset_id,
                 name, owner, user_name, core_count, min_ram, max_disk, max_walltime, resource_type, destination,
                 deadline_at)
SELECT g, 'defined', 1, 1, 'lab', 'LAB_B', 'user', 1000, 1, 1, 1, 'bench.' || g, 'bench|user', 'bench', 1, 0, 0, 3600,
       '', 'LAB_B_DATADISK', now() + interval '4 hours'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) g;
INSERT INTO job_spec (job_id, spec)
SELECT g, %(spec)s::jsonb FROM generate_series(%(first)s::bigint, %(last)s::bigint) g;
INSERT INTO job_deadline (job_id, deadline_at)
SELECT g, now() + interval '2 minutes' FROM generate_series(%(first)s::bigint, %(last)s::bigint) g;
INSERT INTO job_file (job_id, seq, type, lfn, scope, dataset, destination_block, destination, token, guid, size,
                      checksum, status)
SELECT g, f.seq, f.type, 'bench.' || g || '.' || f.type, 'user.bench', 'user.bench.' || f.type, f.block,
       'LAB_B_DATADISK', '', '', 31, '', 'unknown'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) g,
     (VALUES (0, 'input', ''), (1, 'output', 'user.bench.spectra'), (2, 'log', 'user.bench.logs')) f (seq, type, block);

-- name: inputs_at_site
INSERT INTO data_block (name, kind, status, parent)
SELECT 'bench.' || p.parent || '_sub' || g, 'sub', 'defined', p.parent
FROM generate_series(%(first)s::bigint, %(last)s::bigint, 50) g, (VALUES ('output'), ('log')) p (parent)
ON CONFLICT DO NOTHING;
UPDATE job SET state = 'activated', version = 2, modified_at = now(), state_changed_at = now(),
    deadline_at = now() + interval '7 days'
WHERE job_id BETWEEN %(first)s AND %(last)s;
UPDATE job_file f SET status = CASE WHEN f.type = 'input' THEN 'ready' ELSE f.status END, block_id = b.block_id
FROM job_file i
LEFT JOIN data_block b ON b.name = 'bench.' || i.type || '_sub' || (i.job_id - (i.job_id - %(first)s) %% 50)
WHERE f.job_id BETWEEN %(first)s AND %(last)s AND i.job_id = f.job_id AND i.seq = f.seq;
INSERT INTO job_waiting (job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count,
                         task_id, user_name)
SELECT job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count, task_id, user_name
FROM job WHERE job_id BETWEEN %(first)s AND %(last)s;

-- name: acquired
DELETE FROM job_waiting WHERE job_id BETWEEN %(first)s AND %(last)s;
UPDATE job SET state = 'sent', version = 3, holder = 'bench|pilot', node = 'wn042.bench', modified_at = now(),
    state_changed_at = now(), deadline_at = now() + interval '30 minutes'
WHERE job_id BETWEEN %(first)s AND %(last)s;

-- name: pilot_starting
UPDATE job SET state = 'starting', version = 4, pilot = %(pilot)s::jsonb, modified_at = now(),
    state_changed_at = now(), deadline_at = now() + interval '2 hours'
WHERE job_id BETWEEN %(first)s AND %(last)s;

-- name: pilot_running
UPDATE job SET state = 'running', version = 5, pilot = %(pilot)s::jsonb, modified_at = now(),
    state_changed_at = now(), started_at = now(), deadline_at = now() + interval '2 hours'
WHERE job_id BETWEEN %(first)s AND %(last)s;

-- name: pilot_ended
UPDATE job SET state = 'holding', version = 6, pilot = %(pilot)s::jsonb, has_report = true, modified_at = now(),
    state_changed_at = now(), ended_at = now(), deadline_at = now() + interval '48 hours'
WHERE job_id BETWEEN %(first)s AND %(last)s;
INSERT INTO pilot_report (job_id, attempt_nr, state, output_report, attributes)
SELECT g, 1, 'finished', %(report)s, %(pilot)s::jsonb FROM generate_series(%(first)s::bigint, %(last)s::bigint) g;

-- name: outputs_added
UPDATE job SET verdict = 'finished', modified_at = now()
WHERE job_id BETWEEN %(first)s AND %(last)s;
UPDATE job_file SET status = 'ready', guid = '306CCD0D-397F-4E50-B9A4-5A53F7E99AC1', checksum = 'ad:084b021f'
WHERE job_id BETWEEN %(first)s AND %(last)s AND seq > 0;

-- name: outputs_done
UPDATE job SET state = 'finished', version = 7, modified_at = now(), state_changed_at = now(), ended_at = now(),
    deadline_at = now() + interval '10 minutes'
WHERE job_id BETWEEN %(first)s AND %(last)s;

-- name: blocks_closed
UPDATE data_block b SET status = 'tobeclosed', closed_at = now(),
    number_files = (SELECT count(*) FROM job_file f WHERE f.block_id = b.block_id)
WHERE block_id IN (SELECT block_id FROM job_file WHERE job_id BETWEEN %(first)s AND %(last)s);

-- name: note_step
INSERT INTO job_history (job_id, version, transition_id, message_id, service, host)
SELECT g, %(version)s, t.transition_id, md5(%(step)s || g)::uuid, 'bench', 'bench'
FROM generate_series(%(first)s::bigint, %(last)s::bigint) g, job_transition t
WHERE t.event = %(step)s AND t.source IS NOT DISTINCT FROM %(source)s;
INSERT INTO job_count (state, site, vo, jobs)
SELECT c.state, 'LAB_B', 'lab', c.change
FROM (VALUES (%(source)s, -200), (%(destination)s, 200)) AS c (state, change) WHERE c.state IS NOT NULL;

-- name: note_message
INSERT INTO outbox (message_id, exchange, routing_key, body)
SELECT md5(%(step)s || g)::uuid, 'panda.events', 'job.' || %(step)s, %(body)s
FROM generate_series(%(first)s::bigint, %(last)s::bigint) g;

-- name: forget_message
SET LOCAL synchronous_commit = off;
DELETE FROM outbox
WHERE message_id = ANY (ARRAY (SELECT md5(%(step)s || g)::uuid FROM generate_series(%(first)s::bigint, %(last)s::bigint) g));
