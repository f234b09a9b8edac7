-- Statements of the engine. Rows come as one JSON array, so a batch of any size is one round trip. `OFFSET 0` and
-- `ANY(ARRAY(...))` keep the planner to an index of tables that it saw empty (ADR 0036); `IS FALSE`, off a partial index.

-- name: load_jobs
SELECT j.job_id, j.state, j.version, j.attempt_nr, j.vo, j.site, j.label, j.priority, j.task_id, j.destination,
       j.command, j.verdict, j.has_report, j.deadline_at, j.state_changed_at, j.created_at,
       (SELECT heard_at FROM job_heard WHERE job_id = j.job_id), j.waits_for,
       coalesce(cardinality(j.left_by), 0),
       j.state IN ('defined', 'merging') AND EXISTS (SELECT FROM job_upstream u WHERE u.job_id = j.job_id),
       coalesce(j.errors ?| '{pilot,exe}', false),
       j.processing_type, j.special_handling, j.transfer_type, j.is_jedis, j.no_reassign
FROM job j
WHERE j.job_id = ANY(%(job_ids)s)

-- name: load_jobs_locked
-- What somebody else holds is left out: its message waits, and nobody waits for it.
SELECT j.job_id, j.state, j.version, j.attempt_nr, j.vo, j.site, j.label, j.priority, j.task_id, j.destination,
       j.command, j.verdict, j.has_report, j.deadline_at, j.state_changed_at, j.created_at,
       (SELECT heard_at FROM job_heard WHERE job_id = j.job_id), j.waits_for,
       coalesce(cardinality(j.left_by), 0),
       j.state IN ('defined', 'merging') AND EXISTS (SELECT FROM job_upstream u WHERE u.job_id = j.job_id),
       coalesce(j.errors ?| '{pilot,exe}', false),
       j.processing_type, j.special_handling, j.transfer_type, j.is_jedis, j.no_reassign
FROM job j
WHERE j.job_id = ANY(%(job_ids)s) ORDER BY j.job_id FOR UPDATE OF j SKIP LOCKED

-- name: lock_versions
SELECT job_id, version, verdict FROM job WHERE job_id = ANY(%(job_ids)s) ORDER BY job_id FOR UPDATE SKIP LOCKED

-- name: wait_briefly
-- Until the transaction ends.
SELECT set_config('lock_timeout', '100ms', true)

-- name: live
SELECT job_id FROM job WHERE job_id = ANY(%(job_ids)s)

-- name: known_blocks
-- Those that files join are locked against closing until they have. What somebody else holds is not waited for: it is
-- answered as held.
WITH joined AS MATERIALIZED (
    SELECT name, status, kind, vo FROM data_block WHERE name = ANY(%(locked)s) FOR SHARE SKIP LOCKED
)
SELECT name, status, kind, vo, false FROM joined
UNION ALL SELECT name, status, kind, vo, true FROM data_block
WHERE name = ANY(%(locked)s) AND name NOT IN (SELECT name FROM joined)
UNION ALL SELECT name, status, kind, vo, false FROM data_block WHERE name = ANY(%(others)s)

-- name: foreign_blocks
-- Blocks that others created while we were about to.
SELECT r.name FROM json_to_recordset(%(rows)s::json) AS r(name text, kind text, vo text)
WHERE EXISTS (SELECT FROM data_block b WHERE b.name = r.name AND (b.kind, b.vo) <> (r.kind, r.vo) OFFSET 0)

-- name: load_files
SELECT f.job_id, f.seq, f.type, f.lfn, f.scope, f.dataset, f.status, f.destination_block, f.destination, f.block_id,
       b.name, f.guid, f.size, f.checksum, f.token, f.place_token,
       coalesce(b.status = 'defined', false)
FROM job_file f
LEFT JOIN LATERAL (SELECT name, status FROM data_block WHERE block_id = f.block_id OFFSET 0) AS b ON true
WHERE f.job_id = ANY(%(job_ids)s) ORDER BY f.job_id, f.seq

-- name: load_upstream
-- Whether a job that merges has an attempt left is asked of a merging job's only: their specifications are long. One that
-- was ended to be submitted anew, or with the wish that others try, is not the last.
SELECT u.job_id, u.upstream_id, coalesce(j.state, a.state), CASE
    WHEN coalesce(j.pilot, a.pilot) @> '{"keep_unmerged": true}'
        OR coalesce(j.pilot, a.pilot) ->> 'job_sub_status' = 'toreassign' THEN false
    WHEN w.state = 'merging' AND coalesce(j.state, a.state) IN ('failed', 'cancelled', 'closed') THEN (
        SELECT coalesce(j.attempt_nr, a.attempt_nr) >= CASE
            WHEN s.most ~ '^[0-9]{1,9}$' THEN s.most::integer ELSE 0 END
        FROM (SELECT coalesce(
            (SELECT spec ->> 'max_attempt' FROM job_spec WHERE job_id = u.upstream_id),
            (SELECT spec ->> 'max_attempt' FROM job_spec_archive
             WHERE job_id = u.upstream_id AND ended_at = e.ended_at), '') AS most) AS s)
    ELSE false END, u.seqs
FROM job_upstream u JOIN job w ON w.job_id = u.job_id
LEFT JOIN LATERAL (SELECT state, pilot, attempt_nr FROM job WHERE job_id = u.upstream_id OFFSET 0) AS j ON true
LEFT JOIN job_ended e ON e.job_id = u.upstream_id
LEFT JOIN job_archive a ON a.job_id = e.job_id AND a.ended_at = e.ended_at
WHERE u.job_id = ANY(%(job_ids)s) AND w.job_id = ANY(%(job_ids)s) AND u.merges = (w.state = 'merging')
ORDER BY u.job_id, u.upstream_id

-- name: load_makers
-- Of each of these libraries the build job to go by, live or archived: one that has made it, else one that may still, else
-- the last one that did not. Only builds of the reader's experiment and owner count, for a name is anybody's.
WITH wanted AS (
    SELECT r.job_id, w.vo, w.owner, r.scope, r.lfn
    FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, scope text, lfn text)
    CROSS JOIN LATERAL (SELECT vo, owner FROM job WHERE job_id = r.job_id OFFSET 0) AS w
), made AS (
    SELECT DISTINCT ON (l.vo, l.owner, l.scope, l.lfn) l.*, m.job_id, m.state
    FROM (SELECT DISTINCT vo, owner, scope, lfn FROM wanted) AS l CROSS JOIN LATERAL (
        SELECT j.job_id, j.state
        FROM job_file f CROSS JOIN LATERAL (SELECT * FROM job WHERE job_id = f.job_id OFFSET 0) AS j
        WHERE f.lfn = l.lfn AND f.type = 'output' AND right(f.lfn, 8) = '.lib.tgz'
            AND f.scope = l.scope AND j.label = 'panda' AND j.vo = l.vo AND j.owner = l.owner
        UNION ALL
        SELECT a.job_id, a.state
        FROM job_file_archive f JOIN job_archive a ON a.job_id = f.job_id AND a.ended_at = f.ended_at
        WHERE f.lfn = l.lfn AND f.type = 'output' AND right(f.lfn, 8) = '.lib.tgz'
            AND f.scope = l.scope AND a.label = 'panda' AND a.vo = l.vo AND a.owner = l.owner
    ) AS m
    ORDER BY l.vo, l.owner, l.scope, l.lfn, m.state <> 'finished', m.state IN ('failed', 'cancelled', 'closed'),
        m.job_id DESC
)
SELECT wanted.job_id, made.job_id, made.state
FROM wanted JOIN made USING (vo, owner, scope, lfn)
WHERE wanted.job_id <> made.job_id ORDER BY wanted.job_id, made.job_id

-- name: load_reports
-- Reports beyond the limit stay where they are, and only that is told; the first comes however long it is.
SELECT job_id, CASE WHEN fits THEN output_report ELSE '' END, state,
       coalesce(attributes ->> 'pilot_error_code', '0') <> '0' OR coalesce(attributes ->> 'trans_exit_code', '0') <> '0',
       CASE WHEN fits AND label = 'managed' AND state = 'finished' THEN attributes ->> 'metadata' END, NOT fits
FROM (
    SELECT j.job_id, j.label, coalesce(r.output_report, '') AS output_report, r.state, r.attributes,
           sum(coalesce(octet_length(r.output_report), 0) + pg_column_size(r.attributes)) OVER by_id <= %(most_bytes)s
               OR row_number() OVER by_id = 1 AS fits
    FROM job j CROSS JOIN LATERAL (
        SELECT * FROM pilot_report WHERE job_id = j.job_id AND attempt_nr = j.attempt_nr OFFSET 0) AS r
    WHERE j.job_id = ANY(%(job_ids)s) WINDOW by_id AS (ORDER BY j.job_id)
) AS found

-- name: jobs_of_blocks
-- One row for each block that exists, with the jobs that have one of the named files in it.
SELECT r.number, array_remove(array_agg(DISTINCT f.job_id), NULL)
FROM json_to_recordset(%(rows)s::json) AS r(number int, block text, lfns text[])
CROSS JOIN LATERAL (SELECT block_id FROM data_block WHERE name = r.block OFFSET 0) AS b
LEFT JOIN LATERAL (
    SELECT job_id FROM job_file WHERE block_id = b.block_id AND (r.lfns IS NULL OR lfn = ANY(r.lfns)) OFFSET 0
) AS f ON true
GROUP BY r.number

-- name: archived
SELECT job_id FROM job_ended WHERE job_id = ANY(%(job_ids)s)

-- name: oldest_submission
SELECT coalesce(extract(epoch FROM clock_timestamp() - min(accepted_at)), 0) FROM request WHERE routing_key = 'submit'

-- name: forget_published
-- Not worth waiting for the disk, nor for a relay that has the row in hand: a row that comes back, or that is published
-- twice, changes nothing.
DELETE FROM outbox USING (SELECT set_config('synchronous_commit', 'off', true)) AS now_and_here
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM outbox WHERE message_id = ANY(%(message_ids)s::uuid[]) FOR UPDATE SKIP LOCKED))

-- name: transition_ids
SELECT event, source, transition_id FROM job_transition

-- name: remember
-- Returns the messages that were not handled before.
INSERT INTO inbox (message_id) SELECT unnest(%(message_ids)s::uuid[]) ON CONFLICT DO NOTHING RETURNING message_id::text

-- name: newest
INSERT INTO job_told AS t (job_id, what, message_id)
SELECT r.job_id, r.what, r.message_id FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, what text, message_id uuid)
ON CONFLICT (job_id, what) DO UPDATE SET message_id = excluded.message_id WHERE t.message_id < excluded.message_id
RETURNING job_id, what

-- name: create_jobs
-- A PandaID lives once: what is live or was ever archived is not created again.
INSERT INTO job (job_id, state, version, attempt_nr, vo, site, label, priority, task_id, job_definition_id, jobset_id,
                 name, owner, user_name, core_count, min_ram, max_disk, max_walltime, resource_type, destination,
                 processing_type, special_handling, transfer_type, is_jedis, is_background, no_reassign,
                 deadline_at)
SELECT r.job_id, r.state, 1, r.attempt_nr, r.vo, r.site, r.label, r.priority, r.task_id, r.job_definition_id,
       r.jobset_id, r.name, r.owner, r.user_name, r.core_count, r.min_ram, r.max_disk, r.max_walltime,
       r.resource_type, r.destination, r.processing_type, r.special_handling, r.transfer_type, r.is_jedis,
       r.is_background, r.no_reassign, now() + make_interval(secs => r.deadline_s)
FROM json_to_recordset(%(rows)s::json) AS r(
    job_id bigint, state text, attempt_nr smallint, vo text, site text, label text, priority int, task_id bigint,
    job_definition_id bigint, jobset_id bigint, name text, owner text, user_name text, core_count int, min_ram int,
    max_disk int, max_walltime int, resource_type text, destination text, processing_type text,
    special_handling text, transfer_type text, is_jedis boolean, is_background boolean, no_reassign boolean,
    deadline_s float8)
WHERE NOT EXISTS (SELECT FROM job_ended e WHERE e.job_id = r.job_id)
ON CONFLICT (job_id) DO NOTHING
RETURNING job_id

-- name: create_specs
INSERT INTO job_spec (job_id, spec)
SELECT r.job_id, r.spec FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, spec jsonb)

-- name: create_upstream
INSERT INTO job_upstream (job_id, upstream_id)
SELECT r.job_id, r.upstream_id FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, upstream_id bigint)
ON CONFLICT DO NOTHING

-- name: link_merged
-- Jobs whose outputs a new job merges wait for it, with just these.
INSERT INTO job_upstream (job_id, upstream_id, merges, seqs)
SELECT f.job_id, r.job_id, true, array_agg(DISTINCT f.seq)
FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, vo text, task_id bigint, scope text, lfn text)
CROSS JOIN LATERAL (
    SELECT * FROM job_file
    WHERE place_token = 'TOMERGE' AND lfn = r.lfn AND scope = r.scope AND type IN ('output', 'log') OFFSET 0) AS f
WHERE EXISTS (
    SELECT FROM job j WHERE j.job_id = f.job_id AND j.task_id = r.task_id AND j.vo = r.vo
        AND j.state IN ('holding', 'transferring', 'merging') OFFSET 0)
GROUP BY f.job_id, r.job_id
ON CONFLICT DO NOTHING

-- name: create_deadlines
INSERT INTO job_deadline (job_id, deadline_at)
SELECT r.job_id, now() + make_interval(secs => r.look_s)
FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, look_s float8)

-- name: create_files
INSERT INTO job_file (job_id, seq, type, lfn, scope, dataset, destination_block, destination, token, place_token, guid,
                      size, checksum, status)
SELECT r.job_id, r.seq, r.type, r.lfn, r.scope, r.dataset, r.destination_block, r.destination, r.token, r.place_token,
       r.guid, r.size, r.checksum, r.status
FROM json_to_recordset(%(rows)s::json) AS r(
    job_id bigint, seq smallint, type text, lfn text, scope text, dataset text, destination_block text,
    destination text, token text, place_token text, guid text, size bigint, checksum text, status text)

-- name: move_jobs
-- The rows are locked and their versions checked. No indexed column changes, so these updates stay in their pages. Jobs
-- that waited for one that ends here are looked at again at once, but for those that somebody looks at already.
WITH r AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r(
        job_id bigint, expected int, version int, state text, deadline_s float8, look_s float8, command text,
        verdict text, has_report boolean, waits_for text, errors jsonb, pilot jsonb, started boolean, ended boolean,
        final boolean)
), sooner AS (
    UPDATE job_deadline d SET deadline_at = now() + make_interval(secs => r.look_s), ended = r.final
    FROM r WHERE d.job_id = r.job_id AND d.job_id = ANY(ARRAY(SELECT job_id FROM r)) AND r.look_s IS NOT NULL
        AND (r.final OR d.deadline_at > now() + make_interval(secs => r.look_s))
), woken AS (
    UPDATE job_deadline SET deadline_at = now() WHERE job_id = ANY(ARRAY(
        SELECT job_id FROM job_deadline
        WHERE job_id = ANY(ARRAY(
            SELECT job_id FROM job_upstream
            WHERE upstream_id = ANY(ARRAY(SELECT job_id FROM r WHERE final AND version > expected))))
          AND ended IS FALSE
        ORDER BY job_id FOR UPDATE SKIP LOCKED))
)
UPDATE job j SET
    state = r.state,
    version = r.version,
    modified_at = now(),
    state_changed_at = CASE WHEN r.version > r.expected THEN now() ELSE j.state_changed_at END,
    deadline_at = coalesce(now() + make_interval(secs => r.deadline_s), j.deadline_at),
    command = nullif(coalesce(r.command, j.command), ''),
    verdict = coalesce(r.verdict, j.verdict),
    has_report = coalesce(r.has_report, j.has_report),
    waits_for = CASE WHEN r.version > r.expected THEN r.waits_for ELSE coalesce(r.waits_for, j.waits_for) END,
    errors = CASE WHEN r.errors IS NULL THEN j.errors ELSE coalesce(j.errors, '{}') || r.errors END,
    pilot = CASE WHEN r.pilot IS NULL THEN j.pilot ELSE coalesce(j.pilot, '{}') || r.pilot END,
    started_at = coalesce(j.started_at, CASE
        WHEN r.started OR (r.ended AND j.state = 'starting') THEN now()
        WHEN r.ended AND j.state = 'sent' THEN j.state_changed_at END),
    ended_at = CASE WHEN r.ended THEN coalesce(j.ended_at, now()) ELSE j.ended_at END
FROM r WHERE j.job_id = r.job_id AND j.job_id = ANY(ARRAY(SELECT job_id FROM r))

-- name: wake_readers
-- Build jobs have ended: those that wait to read what they make are looked at again at once, whoever submitted them, but
-- for those that somebody looks at already, and those that are to be looked at anyhow.
UPDATE job_deadline SET deadline_at = now() WHERE job_id = ANY(ARRAY(
    SELECT job_id FROM job_deadline WHERE job_id = ANY(ARRAY(
        SELECT f.job_id FROM job b
        CROSS JOIN LATERAL (
            SELECT lfn, scope FROM job_file
            WHERE job_id = b.job_id AND type = 'output' AND right(lfn, 8) = '.lib.tgz' OFFSET 0) AS m
        CROSS JOIN LATERAL (
            SELECT job_id FROM job_file
            WHERE lfn = m.lfn AND type = 'input' AND right(lfn, 8) = '.lib.tgz' AND scope = m.scope OFFSET 0) AS f
        WHERE b.job_id = ANY(%(job_ids)s) AND EXISTS (
            SELECT FROM job j WHERE j.job_id = f.job_id AND j.vo = b.vo AND j.owner = b.owner
                AND j.state IN ('defined', 'waiting') OFFSET 0)))
        AND deadline_at > now() AND ended IS FALSE
    ORDER BY job_id FOR UPDATE SKIP LOCKED))

-- name: vacate
-- Jobs that their pilots lost. Of those that never spoke the nodes are remembered: what they say later is a ghost's.
UPDATE job SET holder = NULL, node = NULL, pilot = NULL,
    left_by = CASE WHEN job_id = ANY(%(silent)s) THEN array_append(left_by, coalesce(node, '')) ELSE left_by END
WHERE job_id = ANY(%(job_ids)s)

-- name: set_priorities
-- Of those that wait for a pilot the order is another one at once.
WITH r AS (SELECT * FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, priority int)), waiting AS (
    UPDATE job_waiting w SET priority = r.priority
    FROM r WHERE w.job_id = r.job_id AND w.job_id = ANY(ARRAY(SELECT job_id FROM r)) AND w.priority <> r.priority
)
UPDATE job j SET priority = r.priority
FROM r WHERE j.job_id = r.job_id AND j.job_id = ANY(ARRAY(SELECT job_id FROM r))

-- name: set_shares
WITH r AS (SELECT * FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, gshare text))
UPDATE job_spec s SET spec = s.spec || jsonb_build_object('gshare', r.gshare)
FROM r WHERE s.job_id = r.job_id AND s.job_id = ANY(ARRAY(SELECT job_id FROM r))

-- name: put_waiting
INSERT INTO job_waiting (job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count,
                         task_id, user_name, is_background)
SELECT job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count, task_id, user_name,
       is_background
FROM job WHERE job_id = ANY(%(job_ids)s)

-- name: put_waiting_unless_held
-- The same of jobs of JEDI's, whose tasks may be held: `share_tasks` was asked before, so what is answered here holds
-- until the transaction ends. One that was let go may wait already.
WITH j AS MATERIALIZED (
    SELECT job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count, task_id, user_name,
           is_background, EXISTS (SELECT FROM held_task WHERE task_id = job.task_id OFFSET 0) AS is_held
    FROM job WHERE job_id = ANY(%(job_ids)s) AND state = 'activated'
), held AS (
    INSERT INTO job_held (job_id, task_id) SELECT job_id, task_id FROM j WHERE is_held ON CONFLICT DO NOTHING
)
INSERT INTO job_waiting (job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count,
                         task_id, user_name, is_background)
SELECT job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count, task_id, user_name,
       is_background
FROM j WHERE NOT is_held
ON CONFLICT (job_id) DO NOTHING

-- name: take_waiting
DELETE FROM job_waiting WHERE job_id = ANY(%(job_ids)s)

-- name: note_starts
-- Who finds a queue locked leaves it to the next: nobody waits for this.
WITH later AS (
    UPDATE queue_start SET started_at = now() WHERE site = ANY(ARRAY(
        SELECT site FROM queue_start WHERE site = ANY(%(sites)s) ORDER BY site FOR UPDATE SKIP LOCKED))
)
INSERT INTO queue_start (site, started_at) SELECT site, now() FROM unnest(%(sites)s) AS site ORDER BY site
ON CONFLICT (site) DO NOTHING

-- name: create_blocks
-- Also the destination blocks of jobs that ended before they were set up: else nobody would ever say that nothing is to
-- come. All by one statement, in one order: who creates a block waits for who is creating it.
-- A destination block of which nothing was to come any more is in use again; where the Closer has it in hand just now, it
-- stays closed and that is said again.
WITH r AS (
    SELECT r.*, false AS by_ended FROM json_to_recordset(%(rows)s::json) AS r(
        name text, kind text, parent text, vo text, task_id bigint, source text, destination text, closes boolean)
    UNION ALL SELECT DISTINCT f.destination_block, 'destination', '', j.vo, j.task_id, '', '', true, true
    FROM job j JOIN job_file f USING (job_id)
    WHERE j.job_id = ANY(%(never_set_up)s) AND f.job_id = ANY(%(never_set_up)s)
        AND f.type IN ('output', 'log') AND f.destination_block <> ''
), there AS MATERIALIZED (
    SELECT block_id FROM data_block WHERE name = ANY(ARRAY(SELECT name FROM r WHERE kind = 'destination'))
), reopened AS (
    UPDATE data_block SET status = 'running', closed_at = NULL WHERE block_id = ANY(ARRAY(
        SELECT b.block_id FROM r JOIN data_block b ON b.name = r.name
        WHERE b.block_id = ANY(ARRAY(SELECT block_id FROM there)) AND r.kind = 'destination' AND NOT r.by_ended
            AND b.closes AND b.status = 'closed'
        ORDER BY b.block_id FOR UPDATE OF b SKIP LOCKED))
), closing AS (
    -- Who named it first, a program of before it may be, did not say that it closes.
    UPDATE data_block SET closes = true WHERE block_id = ANY(ARRAY(
        SELECT b.block_id FROM r JOIN data_block b ON b.name = r.name
        WHERE b.block_id = ANY(ARRAY(SELECT block_id FROM there)) AND r.kind = 'destination' AND r.closes
            AND NOT b.closes AND b.kind = r.kind AND b.vo = r.vo
        ORDER BY b.block_id FOR UPDATE OF b SKIP LOCKED))
)
INSERT INTO data_block (name, kind, status, parent, vo, task_id, source, destination, closes)
SELECT r.name, r.kind, 'defined', r.parent, r.vo, r.task_id, r.source, r.destination, r.closes FROM r
ORDER BY r.name, r.by_ended
ON CONFLICT (name) DO NOTHING

-- name: fill_blocks
-- Who finds a block locked leaves it to the next: nobody waits for this.
UPDATE data_block SET status = 'running' WHERE block_id = ANY(ARRAY(
    SELECT block_id FROM data_block
    WHERE block_id = ANY(ARRAY(SELECT block_id FROM data_block WHERE name = ANY(%(names)s)))
      AND kind IN ('sub', 'destination') AND status = 'defined'
    ORDER BY block_id FOR UPDATE SKIP LOCKED))

-- name: name_files
-- Outputs of which only their pilot knew how many there would be: the first takes the row that was declared, the others
-- get rows like it. Where two read the same report and put the job off, who comes second finds them there.
WITH r AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, seq smallint, "like" smallint, lfn text)
), named AS (
    UPDATE job_file f SET lfn = r.lfn FROM r
    WHERE f.job_id = r.job_id AND f.seq = r.seq AND r.seq = r."like" AND f.job_id = ANY(ARRAY(SELECT job_id FROM r))
)
INSERT INTO job_file (job_id, seq, type, lfn, scope, dataset, destination_block, destination, token, place_token, guid,
                      size, checksum, status, block_id)
SELECT f.job_id, r.seq, f.type, r.lfn, f.scope, f.dataset, f.destination_block, f.destination, f.token, f.place_token,
       f.guid, f.size, f.checksum, f.status, f.block_id
FROM r CROSS JOIN LATERAL (SELECT * FROM job_file WHERE job_id = r.job_id AND seq = r."like" OFFSET 0) AS f
WHERE r.seq <> r."like"
ON CONFLICT (job_id, seq) DO NOTHING

-- name: change_files
WITH r AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r(
        job_id bigint, seq smallint, status text, block text, guid text, size bigint, checksum text, destination text)
)
UPDATE job_file f SET
    status = r.status,
    block_id = CASE WHEN r.block = '' THEN NULL ELSE coalesce(b.block_id, f.block_id) END,
    guid = coalesce(r.guid, f.guid),
    size = coalesce(r.size, f.size),
    checksum = coalesce(r.checksum, f.checksum),
    destination = coalesce(r.destination, f.destination)
FROM r LEFT JOIN LATERAL (SELECT block_id FROM data_block WHERE name = r.block OFFSET 0) AS b ON true
WHERE f.job_id = r.job_id AND f.seq = r.seq AND f.job_id = ANY(ARRAY(SELECT job_id FROM r))

-- name: fail_files
UPDATE job_file SET status = 'failed'
WHERE job_id = ANY(%(job_ids)s)
  AND (type IN ('output', 'log') AND status IN ('unknown', 'transferring', 'merging') OR status = 'pending')

-- name: store_reports
INSERT INTO pilot_report (job_id, attempt_nr, state, output_report, attributes)
SELECT r.job_id, r.attempt_nr, r.state, r.output_report, r.attributes
FROM json_to_recordset(%(rows)s::json) AS r(
    job_id bigint, attempt_nr smallint, state text, output_report text, attributes jsonb)
ON CONFLICT (job_id, attempt_nr) DO NOTHING

-- name: keep_samples
-- The first of each ten minutes stays: no look back, and what comes again changes nothing.
INSERT INTO job_sample (job_id, slot, cpu_consumption_time, max_rss, max_pss, n_events, tot_rbytes, tot_wbytes)
SELECT r.job_id, date_bin(make_interval(mins => %(minutes)s), now(), 'epoch'), r.cpu_consumption_time, r.max_rss,
       r.max_pss, r.n_events, r.tot_rbytes, r.tot_wbytes
FROM json_to_recordset(%(rows)s::json) AS r(
    job_id bigint, cpu_consumption_time bigint, max_rss bigint, max_pss bigint, n_events bigint, tot_rbytes bigint,
    tot_wbytes bigint)
ON CONFLICT DO NOTHING

-- name: keep_shown
-- Each as long as the pilot shows no more of it; the time is that of what it showed to people.
INSERT INTO job_stdout (job_id, stdout, metadata)
SELECT r.job_id, coalesce(r.stdout, ''), r.metadata
FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, stdout text, metadata text)
ON CONFLICT (job_id) DO UPDATE SET
    stdout = CASE excluded.stdout WHEN '' THEN job_stdout.stdout ELSE excluded.stdout END,
    at = CASE excluded.stdout WHEN '' THEN job_stdout.at ELSE now() END,
    metadata = coalesce(excluded.metadata, job_stdout.metadata)

-- name: write_history
INSERT INTO job_history (job_id, version, transition_id, message_id, service, host, detail)
SELECT r.job_id, r.version, r.transition_id, r.message_id, %(service)s, %(host)s, r.detail
FROM json_to_recordset(%(rows)s::json) AS r(
    job_id bigint, version int, transition_id smallint, message_id uuid, detail text)

-- name: tell_jedi
-- The jobs are locked, so what comes later of one of them gets a greater number.
WITH told AS (
    INSERT INTO jedi_message (vo, task_id, job_id, version, state, prev, service, body)
    SELECT r.vo, r.task_id, r.job_id, r.version, r.state, r.prev, %(service)s, r.body
    FROM json_to_recordset(%(rows)s::json) AS r(
        vo text, task_id bigint, job_id bigint, version int, state text, prev text, body jsonb)
    RETURNING job_id, seq, vo, task_id, at
)
INSERT INTO jedi_job (job_id, seq, vo, task_id, changed_at)
SELECT DISTINCT ON (job_id) job_id, seq, vo, task_id, at FROM told ORDER BY job_id, seq DESC
ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq, changed_at = excluded.changed_at

-- name: tell_jedi_closed
-- Blocks that were closed, where their tasks are JEDI's: one of the files says which dataset it is for JEDI. Those of a
-- destination block may be in its sub blocks.
INSERT INTO jedi_message (kind, vo, task_id, service, body)
SELECT 'dataset_closed', b.vo, b.task_id, %(service)s, jsonb_build_object(
    'dataset', CASE b.kind WHEN 'sub' THEN b.parent ELSE b.name END, 'block', b.name, 'number_files', b.number_files,
    'datasetid', (SELECT spec -> 'file_ids' -> f.seq::text -> 1 FROM job_spec WHERE job_id = f.job_id))
FROM data_block b
LEFT JOIN LATERAL (
    SELECT job_id, seq FROM job_file WHERE block_id = (
        SELECT block_id FROM (
            SELECT b.block_id UNION ALL SELECT c.block_id FROM data_block c WHERE c.parent = b.name AND c.parent <> ''
        ) AS part WHERE EXISTS (SELECT FROM job_file i WHERE i.block_id = part.block_id OFFSET 0) LIMIT 1)
    LIMIT 1
) AS f ON true
WHERE b.name = ANY(%(names)s) AND coalesce(
    (SELECT is_jedis FROM job WHERE task_id = b.task_id AND vo = b.vo LIMIT 1),
    (SELECT is_jedis FROM job_archive WHERE task_id = b.task_id AND vo = b.vo LIMIT 1))
ORDER BY b.block_id

-- name: count_jobs
INSERT INTO job_count (state, site, vo, jobs)
SELECT r.state, r.site, r.vo, r.jobs
FROM json_to_recordset(%(rows)s::json) AS r(state text, site text, vo text, jobs bigint)

-- name: count_repeated
-- The jobs are locked: nobody else counts for them now.
INSERT INTO job_ignored AS i (job_id, what, times)
SELECT r.job_id, r.what, r.times FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, what text, times int)
ON CONFLICT (job_id, what) DO UPDATE SET times = i.times + excluded.times, last_at = now()

-- name: lock_complete
-- Blocks that seem complete, and the destination blocks that may close with them, locked in order: against other Closers,
-- and against files that are just joining them.
WITH f AS (
    SELECT DISTINCT block_id, destination_block FROM job_file WHERE job_id = ANY(%(job_ids)s)
), asked AS (
    SELECT b.* FROM data_block b WHERE b.block_id = ANY(ARRAY(
        SELECT block_id FROM f UNION SELECT block_id FROM data_block WHERE name = ANY(%(names)s)))
), complete AS (
    SELECT b.block_id, b.parent FROM asked b
    WHERE b.kind IN ('sub', 'dispatch') AND b.status IN ('open', 'defined', 'running')
        AND NOT EXISTS (SELECT FROM job_file u WHERE u.block_id = b.block_id AND u.status = 'unknown' OFFSET 0)
)
SELECT b.block_id FROM data_block b WHERE b.block_id = ANY(ARRAY(
    SELECT block_id FROM complete
    UNION SELECT block_id FROM asked WHERE kind = 'destination' AND closes
    UNION SELECT t.block_id FROM data_block t WHERE t.closes AND t.name = ANY(ARRAY(
        SELECT parent FROM complete UNION SELECT destination_block FROM f WHERE block_id IS NULL))))
ORDER BY b.block_id FOR UPDATE

-- name: close_complete
-- Looked at once more under the lock: a file may have joined before we got it. One winner finds a block still open. Files
-- of jobs in the archive were counted when those went there. Says last whether its task may be JEDI's.
UPDATE data_block b SET status = CASE b.kind WHEN 'sub' THEN 'tobeclosed' ELSE 'completed' END, closed_at = now(),
    asked_at = CASE b.kind WHEN 'sub' THEN now() END,
    number_files = coalesce(b.number_files, 0) + (SELECT count(*) FROM job_file f WHERE f.block_id = b.block_id)
WHERE b.block_id = ANY(%(block_ids)s) AND b.kind IN ('sub', 'dispatch') AND b.status IN ('open', 'defined', 'running')
  AND NOT EXISTS (SELECT FROM job_file u WHERE u.block_id = b.block_id AND u.status = 'unknown' OFFSET 0)
  AND (b.kind = 'sub' OR NOT EXISTS (SELECT FROM job_file u WHERE u.block_id = b.block_id AND u.status = 'pending'))
RETURNING b.parent, b.name, b.kind, b.status, b.number_files, b.vo, b.task_id, b.task_id > 0 AND coalesce(
    (SELECT is_jedis FROM job WHERE task_id = b.task_id AND vo = b.vo LIMIT 1), true)

-- name: close_destinations
-- Nothing is to come: in none of their sub blocks, of no job whose outputs are in the block itself, and of none that was
-- not set up yet; a stranger's never will be in it. One that is closed already is closed again with a sub block that came
-- late, or with files that joined while somebody had it in hand, and says so.
UPDATE data_block t SET status = 'closed', closed_at = now(), number_files = n.files
FROM (
    SELECT d.block_id, d.gone_files + (SELECT count(*) FROM job_file f WHERE f.block_id = d.block_id)
        + (SELECT coalesce(sum(c.number_files), 0) FROM data_block c WHERE c.parent = d.name AND c.parent <> '') AS files
    FROM data_block d WHERE d.block_id = ANY(%(block_ids)s) AND d.kind = 'destination' AND d.closes
) AS n
WHERE t.block_id = n.block_id AND t.block_id = ANY(%(block_ids)s)
  AND (t.status IN ('open', 'defined', 'running')
       OR t.status = 'closed' AND (t.name = ANY(%(parents)s) OR n.files > t.number_files))
  AND NOT EXISTS (SELECT FROM data_block c
                  WHERE c.parent = t.name AND c.parent <> '' AND c.status IN ('open', 'defined', 'running') OFFSET 0)
  AND NOT EXISTS (SELECT FROM job_file u WHERE u.block_id = t.block_id AND u.status = 'unknown' OFFSET 0)
  AND NOT EXISTS (SELECT FROM job_file u
                  CROSS JOIN LATERAL (SELECT FROM job WHERE job_id = u.job_id AND vo = t.vo OFFSET 0) AS j
                  WHERE u.destination_block = t.name AND u.destination_block <> '' AND u.status = 'unknown'
                      AND u.block_id IS NULL OFFSET 0)
RETURNING t.parent, t.name, t.kind, t.status, t.number_files, t.vo, t.task_id, t.task_id > 0 AND coalesce(
    (SELECT is_jedis FROM job WHERE task_id = t.task_id AND vo = t.vo LIMIT 1), true)

-- name: move_blocks
-- What the DDM has done is done; a block that went on meanwhile is left.
UPDATE data_block SET status = %(status)s WHERE block_id = ANY(ARRAY(
    SELECT block_id FROM data_block
    WHERE block_id = ANY(ARRAY(SELECT block_id FROM data_block WHERE name = ANY(%(names)s))) AND status = %(before)s
    ORDER BY block_id FOR UPDATE))

-- name: lock_blocks
-- Before close_arrived, so that of two Activators with the last two files the later one sees both.
SELECT FROM data_block WHERE block_id = ANY(ARRAY(SELECT block_id FROM data_block WHERE name = ANY(%(blocks)s)))
ORDER BY block_id FOR UPDATE

-- name: close_arrived
UPDATE data_block b SET status = 'completed', closed_at = now(),
    number_files = coalesce(b.number_files, 0) + (SELECT count(*) FROM job_file f WHERE f.block_id = b.block_id)
WHERE b.block_id = ANY(ARRAY(SELECT block_id FROM data_block WHERE name = ANY(%(blocks)s)))
  AND b.kind = 'dispatch' AND b.status IN ('open', 'defined', 'running')
  AND NOT EXISTS (SELECT FROM job_file f WHERE f.block_id = b.block_id AND f.status = 'pending' OFFSET 0)

-- name: write_outbox
INSERT INTO outbox (message_id, exchange, routing_key, body, headers)
SELECT r.message_id, r.exchange, r.routing_key, r.body, r.headers
FROM json_to_recordset(%(rows)s::json) AS r(
    message_id uuid, exchange text, routing_key text, body text, headers jsonb)

-- name: kept_requests
SELECT message_id::text FROM request WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: forget_requests
DELETE FROM request WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: postpone_requests
-- They come back by themselves, so the relay reckons from then on. Skipped where it sends them at this moment.
WITH w AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r(message_id uuid, seconds float8)
), back AS MATERIALIZED (
    SELECT message_id FROM request WHERE message_id = ANY(ARRAY(SELECT message_id FROM w))
    ORDER BY message_id FOR UPDATE SKIP LOCKED
)
UPDATE request r SET sent_at = now() + make_interval(secs => w.seconds)
FROM w WHERE r.message_id = w.message_id AND r.message_id = ANY(ARRAY(SELECT message_id FROM back))

-- name: bury
-- A replay that died again is linked to the letter that it was, if that was replayed: a header may say anything.
INSERT INTO dead_letter
    (queue, exchange, routing_key, payload, headers, reason, error, fingerprint, replay_of, times_replayed)
VALUES (%(queue)s, %(exchange)s, %(routing_key)s, %(payload)s, %(headers)s, %(reason)s, %(error)s, %(fingerprint)s,
    (SELECT dead_letter_id FROM dead_letter WHERE dead_letter_id = %(replay_of)s::bigint AND status = 'replayed'),
    coalesce((SELECT times_replayed + 1 FROM dead_letter
        WHERE dead_letter_id = %(replay_of)s::bigint AND status = 'replayed'), 0))

-- name: set_pauses
-- An older word that comes later says nothing any more. Who says again that it is paused begins a new pause.
INSERT INTO pause AS p (kind, name, is_paused, actor, reason, until, message_id)
SELECT r.kind, r.name, r.is_paused, r.actor, r.reason, r.until, r.message_id
FROM json_to_recordset(%(rows)s::json) AS r (
    kind text, name text, is_paused boolean, actor text, reason text, until timestamptz, message_id uuid)
ORDER BY r.kind, r.name
ON CONFLICT (kind, name) DO UPDATE
SET is_paused = excluded.is_paused, actor = excluded.actor, reason = excluded.reason, since = now(),
    until = excluded.until, message_id = excluded.message_id
WHERE p.message_id < excluded.message_id
