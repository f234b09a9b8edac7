-- What is new in job_history, counted once (ADR 0043). `OFFSET 0`: ADR 0036.

-- name: window
-- A row's time is older than its commit. Who wrote a row before `until` and has not committed it is seen here, for he has
-- a transaction id and began before it; the next statement sees what all others wrote. The two seconds are for who has
-- taken the time of his first row and not yet an id. Whoever holds a transaction open for two minutes is waited for no
-- longer: our programs end theirs before.
SELECT since, until, until > since, until = most, set_config('jit', 'off', true),
    set_config('enable_nestloop', 'off', true)
FROM (
    SELECT c.until AS since, c.until + make_interval(secs => %(seconds)s) AS most, least(
        c.until + make_interval(secs => %(seconds)s), clock_timestamp() - interval '2 s', (
            SELECT min(greatest(xact_start, clock_timestamp() - interval '2 min')) FROM pg_stat_activity
            WHERE datname = current_database() AND backend_xid IS NOT NULL)) AS until
    FROM history_counted c
) AS w

-- name: move_on
UPDATE history_counted SET until = %(until)s

-- name: step
-- A part of `count_steps` and `bad_ends`: the steps of the window, with their jobs as they are now.
WITH step AS MATERIALIZED (
    SELECT h.job_id, h.version, h.transition_id, h.at FROM job_history h WHERE h.at >= %(since)s AND h.at < %(until)s
)

-- name: count_steps
-- The step before has the version before. All steps of the last day of these jobs are read at once, and hashed; only what
-- was long ago, up to 60 days, is looked for one by one. Of jobs that are in the archive by now likewise.
, here AS MATERIALIZED (
    SELECT job_id, site, node FROM job WHERE job_id = ANY(ARRAY(SELECT DISTINCT job_id FROM step))
), lately AS MATERIALIZED (
    SELECT job_id, version + 1 AS version, at FROM job_history
    WHERE job_id = ANY(ARRAY(SELECT DISTINCT job_id FROM step)) AND at >= %(since)s::timestamptz - interval '1 day'
        AND at < %(until)s
), known AS MATERIALIZED (
    SELECT s.transition_id, s.at, t.destination, coalesce(j.site, a.site, '?') AS site,
        coalesce(j.node, a.node, '') AS node,
        CASE WHEN s.version > 1 THEN greatest(0, extract(epoch FROM s.at - coalesce(p.at, (
            SELECT at FROM job_history WHERE job_id = s.job_id AND version = s.version - 1
                AND at >= s.at - interval '60 days' AND at < s.at LIMIT 1))))::float8 END AS seconds
    FROM step s JOIN job_transition t ON t.transition_id = s.transition_id
    LEFT JOIN here j ON j.job_id = s.job_id
    LEFT JOIN lately p ON p.job_id = s.job_id AND p.version = s.version
    LEFT JOIN LATERAL (
        SELECT a.site, a.node FROM job_ended e JOIN job_archive a ON a.job_id = e.job_id AND a.ended_at = e.ended_at
        WHERE j.job_id IS NULL AND e.job_id = s.job_id OFFSET 0
    ) AS a ON true
), fine AS MATERIALIZED (
    SELECT site, date_bin('1 min', at, 'epoch') AS slot, transition_id,
        CASE WHEN seconds IS NULL THEN -1
            ELSE ceil(greatest(0, least(80, 2 / ln(2::float8) * ln(greatest(seconds, 0.001) * 1000)))) END::smallint AS bucket,
        count(*) AS jobs, coalesce(sum(seconds), 0) AS seconds
    FROM known GROUP BY 1, 2, 3, 4
), counted AS (
    INSERT INTO transition_count AS t (site, span, slot, transition_id, bucket, jobs, seconds)
    SELECT CASE WHEN g.by_site THEN f.site ELSE '' END, g.span, date_bin(make_interval(secs => g.span), f.slot, 'epoch'),
        f.transition_id, f.bucket, sum(f.jobs), sum(f.seconds)
    FROM fine f CROSS JOIN (VALUES (60, false), (60, true), (3600, false), (3600, true)) AS g(span, by_site)
    GROUP BY 1, 2, 3, 4, 5
    ON CONFLICT (site, span, slot, transition_id, bucket) DO UPDATE
    SET jobs = t.jobs + excluded.jobs, seconds = t.seconds + excluded.seconds
), of_minute AS MATERIALIZED (
    SELECT site, date_bin('1 min', at, 'epoch') AS slot, count(*) FILTER (WHERE destination = 'finished') AS finished,
        count(*) FILTER (WHERE destination = 'failed') AS failed,
        count(*) FILTER (WHERE destination IN ('closed', 'cancelled')) AS stopped,
        count(*) FILTER (WHERE destination = 'sent') AS given, sum(seconds) FILTER (WHERE destination = 'sent') AS waited_s
    FROM known WHERE destination IN ('finished', 'failed', 'closed', 'cancelled', 'sent') GROUP BY 1, 2
), ended AS (
    INSERT INTO site_ended AS e (site, span, slot, finished, failed, stopped, given, waited_s)
    SELECT site, span, date_bin(make_interval(secs => span), slot, 'epoch'), sum(finished), sum(failed), sum(stopped),
        sum(given), coalesce(sum(waited_s), 0)
    FROM of_minute CROSS JOIN (VALUES (60), (3600)) AS g(span) GROUP BY 1, 2, 3
    ON CONFLICT (site, span, slot) DO UPDATE
    SET finished = e.finished + excluded.finished, failed = e.failed + excluded.failed,
        stopped = e.stopped + excluded.stopped, given = e.given + excluded.given, waited_s = e.waited_s + excluded.waited_s
), by_node AS (
    INSERT INTO node_ended AS e (site, slot, node, finished, failed)
    SELECT site, date_bin('10 min', at, 'epoch'), node, count(*) FILTER (WHERE destination = 'finished'),
        count(*) FILTER (WHERE destination = 'failed')
    FROM known WHERE destination IN ('finished', 'failed') AND node <> '' GROUP BY 1, 2, 3
    ON CONFLICT (site, slot, node) DO UPDATE
    SET finished = e.finished + excluded.finished, failed = e.failed + excluded.failed
)
SELECT count(*), count(*) FILTER (WHERE destination IN ('failed', 'closed', 'cancelled')) FROM known

-- name: bad_ends
-- Of these the texts are read too.
SELECT s.job_id, s.at, coalesce(j.vo, '?'), coalesce(j.site, '?'), j.user_name, j.errors
FROM step s JOIN job_transition t ON t.transition_id = s.transition_id
LEFT JOIN LATERAL (
    SELECT vo, site, user_name, errors FROM job WHERE job_id = s.job_id
    UNION ALL
    SELECT a.vo, a.site, a.user_name, a.errors
    FROM job_ended e JOIN job_archive a ON a.job_id = e.job_id AND a.ended_at = e.ended_at WHERE e.job_id = s.job_id
    LIMIT 1
) AS j ON true
WHERE t.destination IN ('failed', 'closed', 'cancelled') ORDER BY s.at

-- name: count_errors
INSERT INTO error_count AS e (hour, vo, site, component, code, jobs, first_at, last_at, sample, sample_job)
SELECT r.hour, r.vo, r.site, r.component, r.code, r.jobs, r.first_at, r.last_at, r.sample, r.sample_job
FROM json_to_recordset(%(rows)s::json) AS r(hour timestamptz, vo text, site text, component text, code bigint, jobs int,
    first_at timestamptz, last_at timestamptz, sample text, sample_job bigint)
ON CONFLICT (hour, vo, site, component, code) DO UPDATE
SET jobs = e.jobs + excluded.jobs, first_at = least(e.first_at, excluded.first_at),
    last_at = greatest(e.last_at, excluded.last_at), sample = excluded.sample, sample_job = excluded.sample_job

-- name: roll_up_errors
-- What is over by then and is not added up yet (ADR 0049).
INSERT INTO error_rollup (site, span, slot, vo, component, code, jobs, first_at, last_at)
SELECT CASE WHEN g.by_site THEN e.site ELSE '' END, g.span, date_bin(make_interval(secs => g.span), e.hour, 'epoch'), e.vo,
    e.component, e.code, sum(e.jobs), min(e.first_at), max(e.last_at)
FROM (VALUES (3600, false), (21600, true), (86400, false), (86400, true)) AS g(span, by_site)
CROSS JOIN LATERAL (
    SELECT coalesce(max(slot) + make_interval(secs => g.span), '-infinity') AS slot FROM error_rollup
    WHERE span = g.span) AS known
JOIN error_count e ON e.hour >= known.slot AND e.hour < date_bin(make_interval(secs => g.span), %(until)s, 'epoch')
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 1

-- name: roll_up_ends
INSERT INTO ended_rollup (site, span, slot, jobs)
SELECT CASE WHEN g.by_site THEN e.site ELSE '' END, g.span, date_bin(make_interval(secs => g.span), e.slot, 'epoch'),
    sum(e.finished + e.failed + e.stopped)
FROM (VALUES (3600, false), (86400, false), (86400, true)) AS g(span, by_site)
CROSS JOIN LATERAL (
    SELECT coalesce(max(slot) + make_interval(secs => g.span), '-infinity') AS slot FROM ended_rollup
    WHERE span = g.span) AS known
JOIN site_ended e ON e.span = 3600 AND e.slot >= known.slot
    AND e.slot < date_bin(make_interval(secs => g.span), %(until)s, 'epoch')
GROUP BY 1, 2, 3 ORDER BY 2, 3, 1
