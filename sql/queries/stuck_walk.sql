-- The walk over all live jobs that finds those that are stuck (ADR 0046).

-- name: where
-- How far it is. Between two walks there is a pause.
SELECT walk, after_id, now(), ended_at IS NULL OR after_id > 0 OR ended_at <= now() - make_interval(secs => %(pause_s)s)
FROM stuck_walk

-- name: step
-- The next jobs in order, and of those the ones that have been in their state for longer than any rule allows at least.
-- `OFFSET 0` keeps the planner to the primary key.
WITH portion AS MATERIALIZED (
    SELECT job_id, state, site, state_changed_at, waits_for, is_declared FROM (
        SELECT job_id, state, site, state_changed_at, waits_for,
            state = 'transferring' AND NOT has_report AS is_declared
        FROM job WHERE job_id > %(after_id)s ORDER BY job_id LIMIT %(limit)s
    ) AS j
), old AS (
    SELECT p.* FROM portion p
    WHERE NOT p.is_declared AND p.state_changed_at
        <= now() - make_interval(secs => (%(least)s::jsonb ->> p.state)::float8)
)
SELECT (SELECT count(*) FROM portion), (SELECT max(job_id) FROM portion), o.job_id, o.state, o.site,
    o.state_changed_at, CASE WHEN o.state IN ('starting', 'running') THEN (
        SELECT heard_at FROM job_heard WHERE job_id = o.job_id) END,
    o.waits_for IS NOT NULL
FROM (SELECT) AS one LEFT JOIN old o ON true ORDER BY o.job_id

-- name: transfers
-- How long steps from transferring took at each site within six hours, in buckets.
SELECT c.site, c.bucket, sum(c.jobs)::bigint
FROM transition_count c
WHERE c.span = 3600 AND c.slot >= now() - interval '6 hours' AND c.site <> '' AND c.bucket >= 0
    AND c.transition_id = ANY(ARRAY(SELECT transition_id FROM job_transition
        WHERE source = 'transferring' AND destination = 'finished'))
GROUP BY c.site, c.bucket ORDER BY c.site, c.bucket

-- name: note_sites
INSERT INTO stuck_site AS s (walk, rule, site, jobs, oldest_at)
SELECT %(walk)s, r.rule, r.site, r.jobs, r.oldest_at
FROM json_to_recordset(%(rows)s::json) AS r(rule text, site text, jobs bigint, oldest_at timestamptz)
ON CONFLICT (walk, rule, site) DO UPDATE
SET jobs = s.jobs + excluded.jobs, oldest_at = least(s.oldest_at, excluded.oldest_at)

-- name: note_jobs
-- As long as not enough of their rule are kept.
WITH kept AS MATERIALIZED (
    SELECT rule FROM stuck_job WHERE walk = %(walk)s GROUP BY rule HAVING count(*) >= %(most)s
)
INSERT INTO stuck_job (walk, rule, job_id, state, site, since)
SELECT %(walk)s, r.rule, r.job_id, r.state, r.site, r.since
FROM json_to_recordset(%(rows)s::json) AS r(rule text, job_id bigint, state text, site text, since timestamptz)
WHERE r.rule NOT IN (SELECT rule FROM kept)
ON CONFLICT DO NOTHING

-- name: go_on
UPDATE stuck_walk SET after_id = %(after_id)s, began_at = CASE WHEN after_id = 0 THEN now() ELSE began_at END

-- name: end
UPDATE stuck_walk SET walk = walk + 1, after_id = 0, ended_at = now()

-- name: forget_sites
DELETE FROM stuck_site WHERE walk < %(walk)s

-- name: forget_jobs
DELETE FROM stuck_job WHERE walk < %(walk)s
