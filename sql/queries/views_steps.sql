-- New rows of job_history, as they are written.

-- name: now
SELECT clock_timestamp() - make_interval(secs => %(settled_s)s)

-- name: steps
-- A row is given its time before its transaction ends, so the newest are left to the next time. `site` and `state` are
-- looked at behind the limit: what is read each time is bounded, however little of it is wanted.
SELECT h.at, h.job_id, h.version, t.source, t.destination, t.event, h.service, h.host, h.message_id::text, h.detail,
    j.site, j.task_id,
    (%(site)s::text IS NULL OR j.site = %(site)s::text)
        AND (%(state)s::text IS NULL OR t.destination = %(state)s::text) AS is_wanted
FROM (
    SELECT * FROM job_history
    WHERE at >= %(at)s::timestamptz AND at < clock_timestamp() - make_interval(secs => %(settled_s)s)
        AND (at, job_id, version) > (%(at)s::timestamptz, %(after_job)s::bigint, %(after_version)s::integer)
        AND (%(job_id)s::bigint IS NULL OR job_id = %(job_id)s::bigint)
    ORDER BY at, job_id, version LIMIT %(limit)s
) AS h
JOIN job_transition t ON t.transition_id = h.transition_id
LEFT JOIN job j ON j.job_id = h.job_id
ORDER BY h.at, h.job_id, h.version
