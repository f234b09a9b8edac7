-- Who ticks. Seconds of a gap that matters: here and in appointments.sql.

-- name: tick
INSERT INTO pulse AS p (name, ticked_at) VALUES (%(name)s, now())
ON CONFLICT (name) DO UPDATE SET ticked_at = now(), grace_until = CASE
    WHEN p.ticked_at < now() - interval '60 s' THEN now() + make_interval(secs => %(grace_s)s) ELSE p.grace_until END

-- name: count_asked
-- For JEDI, and for operators by minute and by kind of pilot. Of each queue the last kinds are kept; two gateways that
-- write at once leave some more, until the next time.
WITH r AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r(site text, asks int, jobs int, empty int, kinds json)
), kind AS MATERIALIZED (
    SELECT r.site, k.fingerprint, k.filters - 'site' AS filters, k.asks, k.jobs
    FROM r CROSS JOIN LATERAL json_to_recordset(r.kinds) AS k(fingerprint uuid, filters jsonb, asks int, jobs int)
), to_jedi AS (
    INSERT INTO site_request (site, getjob) SELECT site, asks FROM r WHERE asks > 0
), counted AS (
    INSERT INTO site_asked AS s (site, slot, asks, jobs, empty)
    SELECT site, date_bin('1 min', now(), 'epoch'), asks, jobs, empty FROM r
    ON CONFLICT (site, slot) DO UPDATE SET asks = s.asks + excluded.asks, jobs = s.jobs + excluded.jobs,
        empty = s.empty + excluded.empty
), forgotten AS (
    DELETE FROM pilot_ask WHERE ctid = ANY(ARRAY(
        SELECT old.ctid FROM (SELECT DISTINCT site FROM kind) AS here CROSS JOIN LATERAL (
            SELECT ctid FROM pilot_ask p WHERE p.site = here.site
                AND p.fingerprint NOT IN (SELECT fingerprint FROM kind WHERE site = here.site)
            ORDER BY p.last_at DESC OFFSET greatest(0, %(most)s - (SELECT count(*) FROM kind WHERE site = here.site))
            FOR UPDATE SKIP LOCKED) AS old))
)
INSERT INTO pilot_ask AS p (site, fingerprint, filters, last_at, asks, jobs)
SELECT site, fingerprint, filters, now(), asks, jobs FROM kind ORDER BY site, fingerprint
ON CONFLICT (site, fingerprint) DO UPDATE SET filters = excluded.filters, last_at = excluded.last_at,
    asks = p.asks + excluded.asks, jobs = p.jobs + excluded.jobs

-- name: silent
-- The daemon's row is called `clock`, as in the release before, whose processes tick there too.
SELECT CASE name WHEN 'clock' THEN 'daemon' ELSE name END, extract(epoch FROM now() - ticked_at)::float8 FROM pulse
WHERE ticked_at < now() - interval '60 s' ORDER BY 1
