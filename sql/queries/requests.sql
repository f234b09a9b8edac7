-- What is read before a request is accepted, and what is written when it is.

-- name: jobs
SELECT job_id, state, attempt_nr, owner, holder, label, command, pilot ->> 'batch_id', has_report, vo, node, left_by
FROM job WHERE job_id = ANY (%(job_ids)s::bigint[])

-- name: archived_jobs
SELECT j.job_id, j.state, j.attempt_nr, j.owner, j.holder, j.label, j.command, j.pilot ->> 'batch_id', j.has_report,
    j.vo, j.node, j.left_by
FROM job_ended e JOIN job_archive j ON j.job_id = e.job_id AND j.ended_at = e.ended_at
WHERE e.job_id = ANY (%(job_ids)s::bigint[])

-- name: assert_current
-- A read-only session refuses it, though no row is touched.
UPDATE pulse SET name = name WHERE false

-- name: keep
-- Whoever is told that this is committed has been promised it, so the disk is waited for.
INSERT INTO request (message_id, routing_key, body)
SELECT r.message_id, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, routing_key text, body text)
ON CONFLICT DO NOTHING

-- name: keep_heard
-- The same, and the pilots of these jobs were heard.
WITH heard AS (
    INSERT INTO job_heard AS h (job_id, heard_at)
    SELECT job_id, now() FROM unnest(%(job_ids)s::bigint[]) AS job_id ORDER BY job_id
    ON CONFLICT (job_id) DO UPDATE SET heard_at = greatest(h.heard_at, excluded.heard_at)
)
INSERT INTO request (message_id, routing_key, body)
SELECT r.message_id, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, routing_key text, body text)
ON CONFLICT DO NOTHING

-- name: keep_audited
-- The same, and who asked for it is written down.
WITH heard AS (
    INSERT INTO job_heard AS h (job_id, heard_at)
    SELECT job_id, now() FROM unnest(%(job_ids)s::bigint[]) AS job_id ORDER BY job_id
    ON CONFLICT (job_id) DO UPDATE SET heard_at = greatest(h.heard_at, excluded.heard_at)
), audited AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT a.actor, a.action, a.object, a.detail
    FROM json_to_recordset(%(audit)s::json) AS a (actor text, action text, object text, detail jsonb)
)
INSERT INTO request (message_id, routing_key, body)
SELECT r.message_id, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, routing_key text, body text)
ON CONFLICT DO NOTHING

-- name: hear
-- Not worth waiting for the disk: the pulse shows a crash, and gives the grace that lost stamps need. In the order of
-- jobs, as everybody stamps them, so that two who stamp at once never wait for each other in a circle.
INSERT INTO job_heard AS h (job_id, heard_at)
SELECT job_id, now() FROM unnest(%(job_ids)s::bigint[]) AS job_id,
    (SELECT set_config('synchronous_commit', 'off', true)) AS now_and_here
ORDER BY job_id
ON CONFLICT (job_id) DO UPDATE SET heard_at = greatest(h.heard_at, excluded.heard_at)

-- name: job_id_block
SELECT nextval('job_id_block')

-- name: last_job_id_block
SELECT last_value FROM job_id_block

-- name: submission_waits
SELECT EXISTS (
    SELECT FROM request
    WHERE routing_key = 'submit' AND accepted_at <= clock_timestamp() - make_interval(secs => %(age_s)s)
)

-- name: job_set_id
SELECT nextval('job_set_id')
