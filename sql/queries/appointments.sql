-- Statements of the appointments: jobs whose time has come.

-- name: due
-- The earliest first. An appointment before 1971 is one that an operator wants kept at once.
SELECT job_id, deadline_at <= 'epoch' FROM job_deadline WHERE NOT ended AND deadline_at <= now()
ORDER BY deadline_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: clock
-- While somebody who must listen to pilots is away, and for a while afterwards, nobody is lost.
SELECT now(), coalesce(greatest(max(grace_until),
    max(now() + interval '60 s') FILTER (WHERE ticked_at < now() - interval '60 s')), 'epoch')
FROM pulse

-- name: ways
-- Whether the block is open says nothing: a sub block is closed once no file of it is to come, while its files move.
SELECT name, kind, source, destination FROM data_block WHERE name = ANY(%(names)s)

-- name: worker_done
SELECT j.job_id FROM job j
JOIN worker w ON w.harvester_id = j.pilot ->> 'harvester_id' AND w.worker_id = j.pilot ->> 'worker_id'
WHERE j.job_id = ANY(%(job_ids)s) AND w.status = 'finished'

-- name: start_waits
-- A report that was accepted and that nobody has handled for a minute: the Watchers are away, or have a long queue. One
-- that is older than what is looked back upon tells of no start within it.
SELECT 1 FROM request WHERE routing_key = 'report.running'
    AND accepted_at BETWEEN now() - make_interval(secs => %(seconds)s) AND now() - interval '60 s' LIMIT 1

-- name: starts
SELECT j.job_id, q.started_at FROM job j JOIN queue_start q ON q.site = j.site WHERE j.job_id = ANY(%(job_ids)s)

-- name: goes_on
-- Those of one task, jobDefinitionID and queue are looked at together. Of ended jobs it counts when their pilots had done.
-- Each task is read once, however many of its definitions and queues are asked about.
WITH tasks AS MATERIALIZED (
    SELECT array_agg(DISTINCT task_id) AS ids FROM job WHERE job_id = ANY(%(job_ids)s)
), last AS MATERIALIZED (
    SELECT w.task_id, w.job_definition_id, w.site, max(w.at) AS at FROM (
        SELECT task_id, job_definition_id, site, state_changed_at AS at FROM job
        WHERE task_id = ANY((SELECT ids FROM tasks)::bigint[]) AND state = ANY(%(states)s)
        UNION ALL
        SELECT task_id, job_definition_id, site, ended_at FROM job_archive
        WHERE task_id = ANY((SELECT ids FROM tasks)::bigint[]) AND state = ANY(%(states)s)
            AND ended_at > now() - make_interval(secs => %(seconds)s)
    ) AS w GROUP BY w.task_id, w.job_definition_id, w.site
)
SELECT j.job_id, l.at
FROM job j JOIN last l ON (l.task_id, l.job_definition_id, l.site) = (j.task_id, j.job_definition_id, j.site)
WHERE j.job_id = ANY(%(job_ids)s)

-- name: awaited
-- When all that made what these are to merge were there last: now, or when the first of them ended. Of one that has gone to
-- the archive it is not known when that was.
SELECT m.job_id, coalesce(min(CASE
    WHEN f.job_id IS NULL THEN NULL WHEN w.state IS NULL THEN 'epoch' WHEN w.state = ANY(%(ended)s) THEN w.state_changed_at END), now())
FROM job m
LEFT JOIN job_file f ON f.job_id = m.job_id AND f.type = 'input' AND f.place_token = 'TOMERGE'
LEFT JOIN LATERAL (
    SELECT j.state, j.state_changed_at FROM job_file o JOIN job j ON j.job_id = o.job_id
    WHERE o.place_token = 'TOMERGE' AND o.lfn = f.lfn AND o.scope = f.scope AND o.type IN ('output', 'log')
        AND j.task_id = m.task_id AND j.vo = m.vo
    ORDER BY j.state = ANY(%(ended)s), j.state_changed_at DESC LIMIT 1
) AS w ON true
WHERE m.job_id = ANY(%(job_ids)s) GROUP BY m.job_id

-- name: ask_again
-- Blocks with outputs of these that nobody merges. One job of a block speaks for all, and each pause once: while it waits
-- nobody else asks the DDM anything about a block that is closed there.
UPDATE data_block SET asked_at = now() WHERE block_id = ANY(ARRAY(
    SELECT b.block_id FROM data_block b
    WHERE b.status IN ('completed', 'closed')
        AND coalesce(b.asked_at, b.closed_at) <= now() - make_interval(secs => %(pause_s)s)
        AND b.block_id = ANY(ARRAY(
            SELECT f.block_id FROM job_file f WHERE f.job_id = ANY(%(job_ids)s) AND f.status = 'merging'
                AND NOT EXISTS (
                    SELECT FROM job_upstream u JOIN job m ON m.job_id = u.upstream_id
                    WHERE u.job_id = f.job_id AND u.merges AND (u.seqs IS NULL OR f.seq = ANY(u.seqs))
                        AND m.state <> ALL(%(ended_badly)s))))
    ORDER BY b.block_id FOR UPDATE SKIP LOCKED))
RETURNING name, kind, status, number_files, vo, task_id

-- name: make
UPDATE job_deadline d SET deadline_at = r.look_at, ended = r.ended, trouble = NULL
FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, look_at timestamptz, ended boolean)
WHERE d.job_id = r.job_id

-- name: next_jobs
SELECT job_id FROM job_deadline WHERE job_id > %(after)s AND NOT ended ORDER BY job_id LIMIT %(limit)s

-- name: now_unlocked
-- What is locked is left to `now_one`: nobody waits for a row while others hold rows of ours.
UPDATE job_deadline SET deadline_at = 'epoch' WHERE job_id = ANY(ARRAY(
    SELECT job_id FROM job_deadline WHERE job_id = ANY(%(job_ids)s) AND NOT ended FOR UPDATE SKIP LOCKED))
RETURNING job_id

-- name: now_one
UPDATE job_deadline SET deadline_at = 'epoch' WHERE job_id = %(job_id)s AND NOT ended

-- name: requests_now
UPDATE request SET sent_at = 'epoch' WHERE message_id = ANY(ARRAY(
    SELECT message_id FROM request WHERE message_id > %(after)s::uuid AND sent_at > 'epoch'
    ORDER BY message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING message_id::text
