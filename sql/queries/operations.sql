-- Operations: one act on all jobs that a filter finds, asked for, worked off, looked at and cancelled.

-- name: begin
-- What is asked for again with the same key is there already.
WITH made AS (
    INSERT INTO operation (operation_id, actor, actor_name, act, filter, wishes, reason, vos, total, is_at_least,
        last_job_id)
    SELECT r.operation_id, r.actor, r.actor_name, r.act, r.filter, r.wishes, r.reason, r.vos, r.total, r.is_at_least,
        coalesce((SELECT max(job_id) FROM job), 0)
    FROM json_to_record(%(row)s::json) AS r (operation_id uuid, actor text, actor_name text, act text, filter jsonb,
        wishes jsonb, reason text, vos text[], total bigint, is_at_least boolean)
    ON CONFLICT DO NOTHING RETURNING operation_id, actor, actor_name, act, filter, wishes, reason, total
), audited AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT actor, 'operation_begun', 'operation ' || operation_id, jsonb_build_object('name', actor_name, 'act', act,
        'reason', reason, 'filter', filter, 'jobs', total) || wishes
    FROM made
)
SELECT count(*) FROM made

-- name: cancel
WITH ended AS (
    UPDATE operation SET status = 'cancelled', cancelled_by = %(name)s, finished_at = now(), worked_at = now()
    WHERE operation_id = %(operation_id)s AND status = 'running' RETURNING operation_id, done
), audited AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT %(actor)s, 'operation_cancelled', 'operation ' || operation_id, jsonb_build_object('name', %(name)s::text,
        'reason', %(reason)s::text, 'jobs', done)
    FROM ended
)
SELECT count(*) FROM ended

-- name: one
SELECT operation_id::text, actor, actor_name, act, filter, wishes, reason, vos, total, is_at_least, status, done, skipped,
    why_not, cursor, last_job_id, created_at, worked_at, finished_at, cancelled_by, trouble
FROM operation WHERE operation_id = %(operation_id)s

-- name: newest
SELECT operation_id::text, actor, actor_name, act, filter, wishes, reason, vos, total, is_at_least, status, done, skipped,
    why_not, cursor, last_job_id, created_at, worked_at, finished_at, cancelled_by, trouble
FROM operation
WHERE (%(status)s::text IS NULL OR status = %(status)s) AND (%(actor)s::text IS NULL OR %(actor)s IN (actor, actor_name))
    AND (%(at)s::timestamptz IS NULL OR (created_at, operation_id) < (%(at)s, %(id)s::uuid))
ORDER BY created_at DESC, operation_id DESC LIMIT %(limit)s + 1

-- name: groups
-- Jobs that are alike in what decides whether something is done with them. What is looked through is bounded.
SELECT state, vo, label, said, has_report, is_jedis, is_held, count(*), (array_agg(job_id))[1:5]
FROM (
    SELECT job_id, state, vo, label, has_report, is_jedis,
        CASE WHEN command IN ('tobekilled', 'softkill') THEN command END AS said,
        state = 'throttled' AND is_jedis
            AND EXISTS (SELECT FROM held_task h WHERE h.task_id = j.task_id OFFSET 0) AS is_held
    FROM (SELECT * FROM job WHERE true /* whose */ ORDER BY job_id DESC LIMIT %(looked)s) AS j
    WHERE true /* which */
) AS found
GROUP BY 1, 2, 3, 4, 5, 6, 7

-- name: is_cut
SELECT EXISTS (SELECT FROM job WHERE true /* whose */ OFFSET %(looked)s)

-- name: due
-- The one that nobody has worked at for longest: several go on side by side.
SELECT operation_id::text, actor, actor_name, act, filter, wishes, reason, vos, total, is_at_least, status, done, skipped,
    why_not, cursor, last_job_id, created_at, worked_at, finished_at, cancelled_by, trouble
FROM operation WHERE status = 'running' ORDER BY worked_at LIMIT 1 FOR UPDATE SKIP LOCKED

-- name: unhandled
SELECT count(*) FROM (SELECT FROM request WHERE routing_key = ANY(%(keys)s) LIMIT %(most)s) AS found

-- name: next_jobs
SELECT job_id, state, attempt_nr, owner, holder, label, command, pilot ->> 'batch_id', has_report, vo, node, left_by,
    is_jedis, '', state = 'throttled' AND is_jedis
        AND EXISTS (SELECT FROM held_task h WHERE h.task_id = j.task_id OFFSET 0)
FROM (
    SELECT * FROM job WHERE job_id > %(cursor)s AND job_id <= %(last)s /* whose */ ORDER BY job_id LIMIT %(looked)s
) AS j
WHERE true /* which */ ORDER BY job_id LIMIT %(wanted)s

-- name: end_of_look
-- The last job of a look, where there are others behind it.
SELECT job_id FROM job WHERE job_id > %(cursor)s AND job_id <= %(last)s /* whose */
ORDER BY job_id OFFSET %(looked)s - 1 LIMIT 1

-- name: move_on
UPDATE operation SET cursor = %(cursor)s, done = done + %(done)s, skipped = skipped + %(skipped)s,
    why_not = %(why_not)s, worked_at = clock_timestamp(),
    status = CASE WHEN %(is_over)s THEN 'done' ELSE status END, finished_at = CASE WHEN %(is_over)s THEN now() END
WHERE operation_id = %(operation_id)s

-- name: fail
UPDATE operation SET status = 'failed', trouble = %(trouble)s, finished_at = now(), worked_at = now()
WHERE operation_id = %(operation_id)s AND status = 'running'
