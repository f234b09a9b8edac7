-- What is written when a request is accepted.

-- name: keep
-- Whoever is told that this is committed has been promised it, so the disk is waited for.
INSERT INTO request (message_id, routing_key, body)
SELECT r.message_id, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, routing_key text, body text)
ON CONFLICT DO NOTHING

-- name: stamp
-- A part of those below, behind `spoke`: the jobs whose pilots were heard. In the order of jobs, as everybody stamps them,
-- so that two who stamp at once never wait for each other in a circle.
, stamped AS (
    INSERT INTO job_heard AS h (job_id, heard_at)
    SELECT job_id, now() FROM spoke ORDER BY job_id
    ON CONFLICT (job_id) DO UPDATE SET heard_at = greatest(h.heard_at, excluded.heard_at)
)

-- name: stamp_free
-- The same where that had to wait: a stamp that somebody holds is left as it is, whatever they do with it; only a first
-- one that somebody just makes is waited for. Always done so, it would cost the usual reports 12 µs more (ADR 0014).
, free AS MATERIALIZED (
    SELECT h.job_id FROM job_heard h WHERE h.job_id = ANY(ARRAY(SELECT job_id FROM spoke))
    ORDER BY h.job_id FOR UPDATE SKIP LOCKED
), again AS (
    UPDATE job_heard h SET heard_at = greatest(h.heard_at, now()) WHERE h.job_id = ANY(ARRAY(SELECT job_id FROM free))
), first AS (
    INSERT INTO job_heard (job_id, heard_at)
    SELECT job_id, now() FROM spoke
    WHERE NOT EXISTS (SELECT FROM job_heard h WHERE h.job_id = spoke.job_id OFFSET 0) ORDER BY job_id
    ON CONFLICT DO NOTHING
)

-- name: heard
-- Before `stamp`.
WITH spoke AS (SELECT job_id FROM unnest(%(job_ids)s::bigint[]) AS job_id)

-- name: keep_heard
-- Behind `heard` and `stamp`: the same as `keep`, and the pilots of these jobs were heard.
INSERT INTO request (message_id, routing_key, body)
SELECT r.message_id, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, routing_key text, body text)
ON CONFLICT DO NOTHING

-- name: plain
-- Before `stamp` and `keep_plain`, the usual reports in one round trip: those whose jobs are as the reports need are kept,
-- or, where they say only that the job goes on, it is written down that they were heard; if there are none but these, the
-- disk is not waited for (see `hear`). The others are nobody's business here. Held to `judge` by a test (ADR 0022).
-- `OFFSET 0`: ADR 0036.
WITH asked AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r (number int, job_id bigint, holder text, attempt_nr int,
        batch_id text, may_beat boolean, message_id uuid, routing_key text, body text)
), plain AS MATERIALIZED (
    SELECT a.number, a.job_id, j.command, a.may_beat AND j.state = %(beating)s::text AS beats,
        a.message_id, a.routing_key, a.body
    FROM asked a CROSS JOIN LATERAL (
        SELECT command, state, holder, left_by, attempt_nr, pilot FROM job WHERE job_id = a.job_id OFFSET 0) AS j
    WHERE j.state = ANY (%(states)s::text[]) AND j.holder = a.holder AND coalesce(cardinality(j.left_by), 0) = 0
      AND (a.attempt_nr IS NULL OR a.attempt_nr = j.attempt_nr)
      AND (a.batch_id = '' OR coalesce(j.pilot ->> 'batch_id', '') IN ('', a.batch_id))
), waits AS MATERIALIZED (
    SELECT set_config('synchronous_commit', CASE WHEN EXISTS (SELECT FROM plain WHERE NOT beats)
        THEN current_setting('synchronous_commit') ELSE 'off' END, true)
), spoke AS (
    SELECT DISTINCT job_id FROM plain, waits
)

-- name: keep_plain
-- Behind `plain` and `stamp`.
, kept AS (
    INSERT INTO request (message_id, routing_key, body)
    SELECT message_id, routing_key, body FROM plain WHERE NOT beats
    ON CONFLICT DO NOTHING
)
SELECT number, command, beats FROM plain

-- name: keep_audited
-- Behind `heard` and `stamp`: the same, and who asked for it is written down.
, audited AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT a.actor, a.action, a.object, a.detail
    FROM json_to_recordset(%(audit)s::json) AS a (actor text, action text, object text, detail jsonb)
)
INSERT INTO request (message_id, routing_key, body)
SELECT r.message_id, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r (message_id uuid, routing_key text, body text)
ON CONFLICT DO NOTHING

-- name: leave
-- Not worth waiting for the disk: if it is lost, the relay sees by their age that nobody has published them. Skipped
-- where somebody handles or sends them at this moment.
WITH now_and_here AS MATERIALIZED (SELECT set_config('synchronous_commit', 'off', true)), left_here AS MATERIALIZED (
    SELECT message_id FROM request, now_and_here WHERE message_id = ANY (%(message_ids)s::uuid[])
    ORDER BY message_id FOR UPDATE OF request SKIP LOCKED
)
UPDATE request SET sent_at = 'epoch' WHERE message_id = ANY(ARRAY(SELECT message_id FROM left_here))

-- name: hear
-- Behind `heard` and `stamp`. Not worth waiting for the disk: the pulse shows a crash, and gives the grace that lost stamps
-- need.
SELECT set_config('synchronous_commit', 'off', true)

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
