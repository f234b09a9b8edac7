-- The flow of jobs, from what the daemon has counted (flow.sql).

-- name: counted
SELECT until, greatest(0, extract(epoch FROM clock_timestamp() - until))::float8 FROM history_counted

-- name: hops
SELECT t.source, t.destination, c.is_before, c.bucket::int, sum(c.jobs)::bigint
FROM (
    SELECT transition_id, false AS is_before, bucket, jobs FROM transition_count
    WHERE site = %(site)s AND span = %(span)s AND slot >= %(since)s
    UNION ALL
    SELECT transition_id, true, bucket, jobs FROM transition_count
    WHERE site = %(site)s AND span = 3600 AND slot BETWEEN %(since_then)s AND %(until_then)s
) AS c JOIN job_transition t ON t.transition_id = c.transition_id
GROUP BY t.source, t.destination, c.is_before, c.bucket

-- name: series
SELECT c.slot, t.destination, sum(c.jobs)::bigint
FROM transition_count c JOIN job_transition t ON t.transition_id = c.transition_id
WHERE c.site = %(site)s AND c.span = 60 AND c.slot >= %(since)s AND c.slot < %(until)s
    AND t.destination IN ('finished', 'failed')
GROUP BY c.slot, t.destination

-- name: states
SELECT state, sum(jobs)::bigint FROM job_count WHERE %(site)s::text = '' OR site = %(site)s GROUP BY state HAVING sum(jobs) > 0
