-- Errors of jobs that ended badly, by whole hours, as the daemon has counted them (flow.sql).

-- name: of_site
-- A part of the others.
WITH of_site AS (
    SELECT component, code, site, sum(jobs)::bigint AS jobs,
        coalesce(sum(jobs) FILTER (WHERE hour >= %(lately)s), 0)::bigint AS lately, min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM error_count
    WHERE hour >= %(since)s AND (%(site)s::text IS NULL OR site = %(site)s::text)
        AND (%(vo)s::text IS NULL OR vo = %(vo)s::text)
    GROUP BY component, code, site
)

-- name: by_code
, most AS (
    SELECT component, code, NULL::text AS site, sum(jobs)::bigint AS jobs, sum(lately)::bigint AS lately,
        min(first_at) AS first_at, max(last_at) AS last_at, (array_agg(site ORDER BY jobs DESC, site))[1:3] AS sites
    FROM of_site GROUP BY component, code ORDER BY 4 DESC, component, code LIMIT %(limit)s
)

-- name: by_site
, most AS (
    SELECT component, code, site, jobs, lately, first_at, last_at, ARRAY[site] AS sites
    FROM of_site ORDER BY jobs DESC, site, component, code LIMIT %(limit)s
)

-- name: with_samples
-- Behind those: what was said last, of those that are shown.
SELECT m.*, e.sample, e.sample_job FROM most m CROSS JOIN LATERAL (
    SELECT sample, sample_job FROM error_count
    WHERE hour = date_trunc('hour', m.last_at, 'UTC') AND last_at = m.last_at AND component = m.component
        AND code = m.code AND (m.site IS NULL OR site = m.site)
    LIMIT 1
) AS e
ORDER BY m.jobs DESC, m.site, m.component, m.code

-- name: ended
SELECT site, sum(finished + failed + stopped)::bigint FROM site_ended
WHERE span = 3600 AND slot >= %(since)s AND (%(site)s::text IS NULL OR site = %(site)s::text) GROUP BY site
