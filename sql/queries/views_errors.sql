-- Errors of jobs that ended badly, by whole hours, as the clock has counted them (flow.sql).

-- name: of_site
-- A part of the others.
WITH of_site AS (
    SELECT component, code, site, sum(jobs)::bigint AS jobs, coalesce(sum(jobs) FILTER (WHERE hour >= %(lately)s), 0)::bigint
        AS lately, min(first_at) AS first_at, max(last_at) AS last_at,
        (array_agg(sample ORDER BY last_at DESC))[1] AS sample,
        (array_agg(sample_job ORDER BY last_at DESC))[1] AS sample_job
    FROM error_count
    WHERE hour >= %(since)s AND (%(site)s::text IS NULL OR site = %(site)s::text)
        AND (%(vo)s::text IS NULL OR vo = %(vo)s::text)
    GROUP BY component, code, site
)

-- name: by_code
SELECT component, code, NULL, sum(jobs)::bigint, sum(lately)::bigint, min(first_at), max(last_at),
    (array_agg(site ORDER BY jobs DESC, site))[1:3], (array_agg(sample ORDER BY last_at DESC))[1],
    (array_agg(sample_job ORDER BY last_at DESC))[1]
FROM of_site GROUP BY component, code ORDER BY sum(jobs) DESC, component, code LIMIT %(limit)s

-- name: by_site
SELECT component, code, site, jobs, lately, first_at, last_at, ARRAY[site], sample, sample_job
FROM of_site ORDER BY jobs DESC, site, component, code LIMIT %(limit)s

-- name: ended
SELECT site, sum(finished + failed + stopped)::bigint FROM site_ended
WHERE span = 3600 AND slot >= %(since)s AND (%(site)s::text IS NULL OR site = %(site)s::text) GROUP BY site
