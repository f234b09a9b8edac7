-- What the gateway asks: the claim, and short reads by primary key.

-- name: pick
-- Takes waiting jobs that fit, best first, out of the waiting ones. Skips what is locked instead of waiting for it, so
-- it can be in no deadlock. Only `claim`, in the same transaction, makes it a step of the job.
WITH picked AS MATERIALIZED (
    SELECT w.job_id, w.priority
    FROM job_waiting w
    JOIN job j ON j.job_id = w.job_id
    WHERE w.site = %(site)s
      AND (%(labels)s::text[] IS NULL OR w.label = ANY (%(labels)s::text[]))
      AND (%(memory)s::bigint IS NULL OR w.min_ram <= %(memory)s::bigint)
      AND (%(disk)s::bigint IS NULL OR w.max_disk <= %(disk)s::bigint)
      AND (%(remaining_time)s::bigint IS NULL OR w.max_walltime <= %(remaining_time)s::bigint)
      AND (%(core_count)s::bigint IS NULL OR w.core_count <= %(core_count)s::bigint)
      AND (%(resource_type)s::text IS NULL OR w.resource_type = %(resource_type)s::text)
      AND (%(task_id)s::bigint IS NULL OR w.task_id = %(task_id)s::bigint)
      AND (%(user_name)s::text IS NULL OR w.user_name = %(user_name)s::text)
      AND j.state = 'activated'
    ORDER BY w.priority DESC, w.job_id
    LIMIT %(wanted)s
    FOR UPDATE OF w, j SKIP LOCKED
), taken AS (
    DELETE FROM job_waiting w USING picked p WHERE w.job_id = p.job_id
)
SELECT p.job_id FROM picked p ORDER BY p.priority DESC, p.job_id

-- name: claim
-- Sends picked jobs, one a seat: state, holder, deadline, history and counts; answers with all that a pilot must know.
WITH seat AS (
    SELECT * FROM json_to_recordset(%(rows)s::json)
        AS s (job_id bigint, cause uuid, holder text, node text, pilot jsonb, number bigint)
), moved AS (
    UPDATE job j
    SET state = 'sent', version = j.version + 1, holder = s.holder, node = s.node,
        pilot = coalesce(j.pilot, '{}') || s.pilot,
        deadline_at = now() + %(deadline_s)s::float8 * interval '1 second',
        state_changed_at = now(), modified_at = now()
    FROM seat s
    WHERE j.job_id = s.job_id
    RETURNING j.job_id, j.version, j.attempt_nr, j.vo, j.site, j.label, j.priority, j.task_id, j.job_definition_id,
        j.jobset_id, j.name, j.user_name, j.core_count, j.min_ram, j.max_disk, j.max_walltime, j.resource_type,
        j.deadline_at, s.number, s.cause
), sooner AS (
    UPDATE job_deadline d SET deadline_at = m.deadline_at
    FROM moved m WHERE d.job_id = m.job_id AND d.deadline_at > m.deadline_at
), noted AS (
    INSERT INTO job_history (job_id, version, transition_id, message_id, service, host)
    SELECT m.job_id, m.version, t.transition_id, m.cause, 'gateway', %(host)s
    FROM moved m, job_transition t
    WHERE t.event = 'acquired' AND t.source = 'activated'
), counted AS (
    INSERT INTO job_count (state, site, vo, jobs)
    SELECT c.state, m.site, m.vo, sum(c.change)
    FROM moved m, (VALUES ('activated', -1), ('sent', 1)) AS c (state, change)
    GROUP BY c.state, m.site, m.vo
)
SELECT m.number, m.job_id, m.version, m.attempt_nr, m.vo, m.site, m.label, m.priority, m.task_id,
    m.job_definition_id, m.jobset_id, m.name, m.user_name, m.core_count, m.min_ram, m.max_disk, m.max_walltime,
    m.resource_type, coalesce(p.spec, '{}') AS spec,
    (SELECT coalesce(json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block,
                f.destination, f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq), '[]')
     FROM job_file f WHERE f.job_id = m.job_id) AS files
FROM moved m
LEFT JOIN job_spec p ON p.job_id = m.job_id
ORDER BY m.number

-- name: is_any_waiting
-- True when a claim came back short although jobs wait: they were locked for a moment by somebody else.
SELECT EXISTS (
    SELECT FROM job_waiting w
    JOIN job j ON j.job_id = w.job_id AND j.state = 'activated'
    WHERE w.site = %(site)s
      AND (%(labels)s::text[] IS NULL OR w.label = ANY (%(labels)s::text[]))
      AND (%(memory)s::bigint IS NULL OR w.min_ram <= %(memory)s::bigint)
      AND (%(disk)s::bigint IS NULL OR w.max_disk <= %(disk)s::bigint)
      AND (%(remaining_time)s::bigint IS NULL OR w.max_walltime <= %(remaining_time)s::bigint)
      AND (%(core_count)s::bigint IS NULL OR w.core_count <= %(core_count)s::bigint)
      AND (%(resource_type)s::text IS NULL OR w.resource_type = %(resource_type)s::text)
      AND (%(task_id)s::bigint IS NULL OR w.task_id = %(task_id)s::bigint)
      AND (%(user_name)s::text IS NULL OR w.user_name = %(user_name)s::text)
)

-- name: add_to_outbox
INSERT INTO outbox (message_id, exchange, routing_key, body)
SELECT r.message_id, r.exchange, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, exchange text, routing_key text, body text)
ON CONFLICT DO NOTHING

-- name: forget_published
-- Not worth waiting for the disk, nor for a relay that has the row in hand: a row that comes back, or that is published
-- twice, changes nothing.
DELETE FROM outbox USING (SELECT set_config('synchronous_commit', 'off', true)) AS now_and_here
WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM outbox WHERE message_id = ANY(%(message_ids)s::uuid[]) FOR UPDATE SKIP LOCKED))

-- name: keep_requests
-- Not worth waiting for the disk: the broker's confirm follows, and says that its disk has the original.
INSERT INTO request (message_id, routing_key, body)
SELECT r.message_id, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, routing_key text, body text),
     (SELECT set_config('synchronous_commit', 'off', true)) AS now_and_here
ON CONFLICT DO NOTHING

-- name: forget_requests
DELETE FROM request WHERE message_id = ANY (%(message_ids)s::uuid[])

-- name: jobs
SELECT job_id, state, attempt_nr, owner, holder, label, command, pilot ->> 'batch_id', has_report
FROM job WHERE job_id = ANY (%(job_ids)s::bigint[])

-- name: archived_jobs
SELECT job_id, state, attempt_nr, owner, holder, label, command, pilot ->> 'batch_id', has_report
FROM job_archive WHERE job_id = ANY (%(job_ids)s::bigint[])

-- name: describe
SELECT j.*, p.spec,
    (SELECT coalesce(json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block,
                f.destination, f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq), '[]')
     FROM job_file f WHERE f.job_id = j.job_id) AS files
FROM job j LEFT JOIN job_spec p ON p.job_id = j.job_id
WHERE j.job_id = ANY (%(job_ids)s::bigint[])

-- name: describe_archived
SELECT j.*, p.spec,
    (SELECT coalesce(json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block,
                f.destination, f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq), '[]')
     FROM job_file_archive f WHERE f.job_id = j.job_id) AS files
FROM job_archive j LEFT JOIN job_spec_archive p ON p.job_id = j.job_id
WHERE j.job_id = ANY (%(job_ids)s::bigint[])

-- name: job_id_block
SELECT nextval('job_id_block')

-- name: last_job_id_block
SELECT last_value FROM job_id_block

-- name: job_set_id
SELECT nextval('job_set_id')

-- name: record_worker
INSERT INTO worker (harvester_id, worker_id, site, node, status)
VALUES (%(harvester_id)s, %(worker_id)s, %(site)s, %(node)s, %(status)s)
ON CONFLICT (harvester_id, worker_id) DO UPDATE
SET site = excluded.site, node = excluded.node, status = excluded.status, last_seen_at = now()

-- name: record_worker_node
INSERT INTO worker_node (site, host_name, description) VALUES (%(site)s, %(host_name)s, %(description)s)
ON CONFLICT (site, host_name) DO UPDATE
SET description = worker_node.description || excluded.description, last_seen_at = now()

-- name: job_counts
SELECT state, site, sum(jobs)::bigint FROM job_count GROUP BY state, site HAVING sum(jobs) > 0

-- name: task_states
SELECT state, count(*) FROM (
    SELECT state FROM job WHERE task_id = %(task_id)s
    UNION ALL
    SELECT state FROM job_archive WHERE task_id = %(task_id)s
) AS jobs GROUP BY state

-- name: task_hops
-- Time from each step of a job to its next one.
WITH task_job AS (
    SELECT job_id FROM job WHERE task_id = %(task_id)s
    UNION ALL
    SELECT job_id FROM job_archive WHERE task_id = %(task_id)s
), step AS (
    SELECT t.source, t.destination,
        extract(epoch FROM h.at - lag(h.at) OVER (PARTITION BY h.job_id ORDER BY h.version)) * 1000 AS ms
    FROM task_job j
    JOIN job_history h ON h.job_id = j.job_id
    JOIN job_transition t ON t.transition_id = h.transition_id
)
SELECT source || '→' || destination, count(*),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY ms),
    percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)
FROM step WHERE source IS NOT NULL AND ms IS NOT NULL
GROUP BY source, destination

-- name: add_cache_file
-- The first writer of a name keeps it, unless it is the same owner who writes again.
INSERT INTO cache_file AS known (name, owner, size, checksum)
VALUES (%(name)s, %(owner)s, %(size)s, %(checksum)s)
ON CONFLICT (name) DO UPDATE SET
    size = CASE WHEN known.owner = excluded.owner THEN excluded.size ELSE known.size END,
    checksum = CASE WHEN known.owner = excluded.owner THEN excluded.checksum ELSE known.checksum END
RETURNING name, owner, size, checksum

-- name: cache_file_with
SELECT name, owner, size, checksum FROM cache_file
WHERE size = %(size)s AND checksum = %(checksum)s
ORDER BY created_at DESC LIMIT 1

-- name: schema_version
SELECT max(version) FROM schema_version
