-- Errors of jobs that ended badly, as the daemon has counted them (flow.sql). What is over is read from its sums, in days
-- where people look far back, and only the rest hour by hour (ADR 0049).

-- name: over
-- A part of the others: up to where what is added up is over. The hours that count as `lately` are told apart in any case.
WITH over AS MATERIALIZED (
    SELECT coalesce((SELECT max(slot) + interval '1 hour' FROM error_rollup WHERE span = 3600), '-infinity') AS hours,
        least(date_bin('6 hours', %(lately)s::timestamptz, 'epoch'), coalesce((
            SELECT max(slot) + interval '6 hours' FROM error_rollup WHERE span = 21600), '-infinity')) AS quarters,
        CASE WHEN %(by_days)s THEN least(date_bin('1 day', %(lately)s::timestamptz, 'epoch'), coalesce((
            SELECT max(slot) + interval '1 day' FROM error_rollup WHERE span = 86400), '-infinity'))
            ELSE '-infinity' END AS days,
        date_bin('6 hours', %(since)s::timestamptz - interval '1 second', 'epoch') + interval '6 hours' AS first_quarter
)

-- name: of_all
, part AS (
    SELECT component, code, NULL::text AS site, slot, jobs, first_at, last_at FROM error_rollup
    WHERE site = '' AND span = 86400 AND slot >= %(since)s AND slot < (SELECT days FROM over) /* which */
    UNION ALL
    SELECT component, code, NULL, slot, jobs, first_at, last_at FROM error_rollup
    WHERE site = '' AND span = 3600 AND slot >= greatest(%(since)s, (SELECT days FROM over)) /* which */
    UNION ALL
    SELECT component, code, NULL, hour, jobs, first_at, last_at FROM error_count
    WHERE hour >= greatest(%(since)s, (SELECT hours FROM over)) /* which */
)

-- name: of_sites
, part AS (
    SELECT component, code, site, slot, jobs, first_at, last_at FROM error_rollup
    WHERE site <> '' AND span = 86400 AND slot >= %(since)s AND slot < (SELECT days FROM over) /* which */
    UNION ALL
    SELECT component, code, site, slot, jobs, first_at, last_at FROM error_rollup
    WHERE site <> '' AND span = 21600 AND slot >= (SELECT greatest(first_quarter, days) FROM over)
        AND slot < (SELECT quarters FROM over) /* which */
    UNION ALL
    SELECT component, code, site, hour, jobs, first_at, last_at FROM error_count
    WHERE hour >= %(since)s AND hour < (SELECT first_quarter FROM over) /* which */
    UNION ALL
    SELECT component, code, site, hour, jobs, first_at, last_at FROM error_count
    WHERE hour >= (SELECT greatest(first_quarter, quarters, days) FROM over) /* which */
)

-- name: by_code
, most AS (
    SELECT component, code, NULL::text AS site, sum(jobs)::bigint AS jobs,
        coalesce(sum(jobs) FILTER (WHERE slot >= %(lately)s), 0)::bigint AS lately, min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM part GROUP BY component, code ORDER BY 4 DESC, component, code LIMIT %(limit)s
)

-- name: by_site
, most AS (
    SELECT component, code, site, sum(jobs)::bigint AS jobs,
        coalesce(sum(jobs) FILTER (WHERE slot >= %(lately)s), 0)::bigint AS lately, min(first_at) AS first_at,
        max(last_at) AS last_at
    FROM part GROUP BY component, code, site ORDER BY jobs DESC, site, component, code LIMIT %(limit)s
)

-- name: with_samples
-- Behind those, of what is shown: at which sites, and what was said last.
SELECT m.*, (/* sites */), e.sample, e.sample_job
FROM most m CROSS JOIN LATERAL (
    SELECT sample, sample_job FROM error_count
    WHERE component = m.component AND code = m.code AND hour = date_trunc('hour', m.last_at, 'UTC')
        AND last_at = m.last_at AND (m.site IS NULL OR site = m.site) /* which */
    LIMIT 1
) AS e
ORDER BY m.jobs DESC, m.site, m.component, m.code

-- name: sites
-- A part of that one: where it was met most of late, of so many counts at most.
SELECT (array_agg(site ORDER BY jobs DESC, site))[1:3] FROM (
    SELECT site, sum(jobs) AS jobs FROM (
        SELECT site, jobs FROM error_count
        WHERE component = m.component AND code = m.code AND hour >= %(since)s /* which */
        ORDER BY hour DESC LIMIT %(newest)s
    ) AS few GROUP BY site
) AS s

-- name: ended
-- All jobs that ended, at a site or at all of them together.
WITH over AS MATERIALIZED (
    SELECT coalesce((SELECT max(slot) + interval '1 hour' FROM ended_rollup WHERE span = 3600), '-infinity') AS hours,
        CASE WHEN %(by_days)s THEN coalesce((
            SELECT max(slot) + interval '1 day' FROM ended_rollup WHERE span = 86400), '-infinity')
            ELSE '-infinity' END AS days
)
SELECT NULL::text, sum(jobs)::bigint FROM (
    SELECT jobs FROM ended_rollup
    WHERE site = '' AND span = 86400 AND slot >= %(since)s AND slot < (SELECT days FROM over)
    UNION ALL
    SELECT jobs FROM ended_rollup WHERE site = '' AND span = 3600 AND slot >= greatest(%(since)s, (SELECT days FROM over))
    UNION ALL
    SELECT finished + failed + stopped FROM site_ended
    WHERE span = 3600 AND slot >= greatest(%(since)s, (SELECT hours FROM over))
) AS part

-- name: ended_by_site
WITH over AS MATERIALIZED (
    SELECT CASE WHEN %(by_days)s THEN coalesce((
        SELECT max(slot) + interval '1 day' FROM ended_rollup WHERE span = 86400), '-infinity') ELSE '-infinity' END AS days
)
SELECT site, sum(jobs)::bigint FROM (
    SELECT site, jobs FROM ended_rollup
    WHERE site <> '' AND span = 86400 AND slot >= %(since)s AND slot < (SELECT days FROM over) /* which */
    UNION ALL
    SELECT site, finished + failed + stopped FROM site_ended
    WHERE span = 3600 AND slot >= greatest(%(since)s, (SELECT days FROM over)) /* which */
) AS part GROUP BY site
