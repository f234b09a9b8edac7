-- What is looked through is bounded: however rare what is looked for, an answer comes in time, and says that it goes on.

-- name: live
SELECT job_id, state, state_changed_at, vo, site, task_id, user_name, name, label, priority, attempt_nr, node,
    coalesce(errors, '{}'), created_at, false AS is_archived
FROM (SELECT * FROM job WHERE job_id < %(job_id)s /* whose */ ORDER BY job_id DESC LIMIT %(looked)s) AS j
WHERE true /* which */ ORDER BY job_id DESC LIMIT %(wanted)s

-- name: live_end
SELECT job_id, -1 FROM job WHERE job_id < %(job_id)s /* whose */ ORDER BY job_id DESC OFFSET %(looked)s - 1 LIMIT 1

-- name: archived
SELECT job_id, state, ended_at, vo, site, task_id, user_name, name, label, priority, attempt_nr, node,
    coalesce(errors, '{}'), created_at, true AS is_archived
FROM (
    SELECT * FROM job_archive
    WHERE (ended_at, job_id) < (%(ended_at)s::timestamptz, %(job_id)s::bigint) /* whose */
    ORDER BY ended_at DESC, job_id DESC LIMIT %(looked)s
) AS j
WHERE true /* which */ ORDER BY ended_at DESC, job_id DESC LIMIT %(wanted)s

-- name: archived_end
SELECT job_id, (extract(epoch FROM ended_at) * 1000000)::bigint FROM job_archive
WHERE (ended_at, job_id) < (%(ended_at)s::timestamptz, %(job_id)s::bigint) /* whose */
ORDER BY ended_at DESC, job_id DESC OFFSET %(looked)s - 1 LIMIT 1

-- name: counts
SELECT state, sum(jobs)::bigint FROM job_count WHERE true /* which */ GROUP BY state HAVING sum(jobs) > 0
