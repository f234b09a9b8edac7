-- Held tasks of JEDI's, and jobs of theirs that became activated meanwhile (ADR 0041). Whether a task is held changes
-- under its lock only, and who acts upon it shares that until it has committed. `OFFSET 0`, `ANY(ARRAY(...))`: ADR 0036.

-- name: lock_task
SELECT pg_advisory_xact_lock(hashint8extended(%(task_id)s, 3))

-- name: share_tasks
SELECT pg_advisory_xact_lock_shared(hashint8extended(task_id, 3))
FROM (SELECT task_id FROM unnest(%(task_ids)s::bigint[]) AS task_id ORDER BY task_id) AS tasks

-- name: hold
INSERT INTO held_task (task_id, actor) VALUES (%(task_id)s, %(actor)s) ON CONFLICT DO NOTHING

-- name: resume
DELETE FROM held_task WHERE task_id = %(task_id)s

-- name: to_hold
SELECT job_id FROM job WHERE task_id = %(task_id)s AND is_jedis AND state = 'activated'

-- name: to_let_go
-- Those that are activated may be in job_held, or about to be throttled.
SELECT job_id FROM job WHERE task_id = %(task_id)s AND is_jedis AND state IN ('throttled', 'activated')

-- name: tasks_of_held
SELECT DISTINCT task_id FROM (SELECT task_id FROM job_held LIMIT %(limit)s) AS found

-- name: take_held
-- What was activated at the very end of a hold is let go.
DELETE FROM job_held WHERE job_id = ANY(ARRAY(
    SELECT job_id FROM job_held WHERE task_id = ANY(%(task_ids)s)
    ORDER BY job_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING job_id, EXISTS (SELECT FROM held_task h WHERE h.task_id = job_held.task_id OFFSET 0)

-- name: waiting_though_held
SELECT j.job_id
FROM held_task h CROSS JOIN LATERAL (
    SELECT job_id FROM job WHERE task_id = h.task_id AND is_jedis AND state = 'activated' OFFSET 0) AS j
WHERE EXISTS (SELECT FROM job_waiting w WHERE w.job_id = j.job_id OFFSET 0)
ORDER BY j.job_id LIMIT %(limit)s
