-- What requests of JEDI's ask and do. `OFFSET 0` and `ANY(ARRAY(...))`: ADR 0036.

-- name: noted
SELECT request_hash, answer FROM jedi_request WHERE actor = %(actor)s AND msg_id = %(msg_id)s

-- name: blocks
-- Blocks of PandaIDs, of which others may get some in between.
SELECT nextval('job_id_block') FROM generate_series(1, %(count)s::int)

-- name: job_set_id
SELECT nextval('job_set_id')

-- name: granted
-- The last block that begins before an id is the only one that can hold it.
SELECT i.job_id
FROM unnest(%(job_ids)s::bigint[]) AS i(job_id)
CROSS JOIN LATERAL (
    SELECT last, actor FROM jedi_grant WHERE first <= i.job_id ORDER BY first DESC LIMIT 1) AS g
WHERE i.job_id <= g.last AND g.actor = %(actor)s

-- name: jobs
SELECT job_id, state, task_id, job_definition_id, jobset_id, name, owner, label, command, is_jedis
FROM job WHERE job_id = ANY(%(job_ids)s::bigint[])

-- name: archived_jobs
SELECT a.job_id, a.state, a.task_id, a.job_definition_id, a.jobset_id, a.name, a.owner, a.label, a.command, a.is_jedis
FROM job_ended e CROSS JOIN LATERAL (
    SELECT * FROM job_archive WHERE job_id = e.job_id AND ended_at = e.ended_at OFFSET 0) AS a
WHERE e.job_id = ANY(%(job_ids)s::bigint[])

-- name: live_jobs
SELECT task_id, array_agg(job_id ORDER BY job_id) FROM job
WHERE task_id = ANY(%(task_ids)s::bigint[]) AND is_jedis AND state <> ALL(%(final)s) GROUP BY task_id

-- name: origins
SELECT new_job_id, min(origin_job_id) FROM job_retry WHERE new_job_id = ANY(%(job_ids)s::bigint[]) GROUP BY new_job_id

-- name: note
-- Whoever comes second with a request waits here for what becomes of the first.
INSERT INTO jedi_request (actor, msg_id, request_hash, answer)
SELECT r.actor, r.msg_id, r.request_hash, r.answer
FROM json_to_recordset(%(rows)s::json) AS r(actor text, msg_id text, request_hash text, answer text)
ORDER BY r.actor, r.msg_id
ON CONFLICT DO NOTHING
RETURNING actor

-- name: grant
INSERT INTO jedi_grant (first, last, actor)
SELECT r.first, r.last, r.actor FROM json_to_recordset(%(rows)s::json) AS r(first bigint, last bigint, actor text)

-- name: descend
-- A retry belongs to the line of the job that it does again; what is merged begins a line of its own.
INSERT INTO job_retry (old_job_id, new_job_id, origin_job_id, relation)
SELECT r.old_job_id, r.new_job_id, r.origin_job_id, r.relation
FROM json_to_recordset(%(rows)s::json) AS r(old_job_id bigint, new_job_id bigint, origin_job_id bigint, relation text)
ON CONFLICT DO NOTHING

-- name: audit
INSERT INTO audit (actor, action, object, detail)
SELECT r.actor, r.action, r.object, r.detail
FROM json_to_recordset(%(rows)s::json) AS r(actor text, action text, object text, detail jsonb)
