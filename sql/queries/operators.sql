-- What the gateway needs for operators.

-- name: held_back
SELECT j.job_id FROM job j JOIN held_task h ON h.task_id = j.task_id
WHERE j.job_id = ANY (%(job_ids)s::bigint[]) AND j.is_jedis

-- name: vos_of_task
SELECT DISTINCT vo FROM (SELECT vo FROM job WHERE task_id = %(task_id)s LIMIT 10000) AS found
