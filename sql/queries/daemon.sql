-- The books of the PanDA daemon: written by its masters, read by operators.

-- name: tell
-- What no daemon has had for a week is no duty any more.
WITH d AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json)
        AS d(name text, what text, every text, is_alone boolean, is_vital boolean, limit_s float8)
), told AS (
    INSERT INTO daemon_duty AS t (name, what, every, is_alone, is_vital, limit_s, told_at)
    SELECT name, what, every, is_alone, is_vital, limit_s, now() FROM d ORDER BY name
    ON CONFLICT (name) DO UPDATE SET what = excluded.what, every = excluded.every, is_alone = excluded.is_alone,
        is_vital = excluded.is_vital, limit_s = excluded.limit_s, told_at = excluded.told_at
)
DELETE FROM daemon_duty WHERE told_at < now() - interval '7 days' AND name NOT IN (SELECT name FROM d)

-- name: running_here
SELECT name, running_pid, running_since FROM daemon_duty WHERE running_host = %(host)s

-- name: one_at_a_time
SELECT pg_advisory_xact_lock(7237129, 0)

-- name: runs
INSERT INTO daemon_run (name, host, pid, began_at, ended_at, seconds, slices, outcome, error, asked_at)
SELECT name, %(host)s, pid, began_at, ended_at, seconds, slices, outcome, error, asked_at
FROM json_to_recordset(%(rows)s::json) AS r(name text, pid int, began_at timestamptz, ended_at timestamptz,
    seconds float8, slices int, outcome text, error text, asked_at timestamptz)

-- name: last
UPDATE daemon_duty d SET last_host = %(host)s, last_pid = r.pid, last_began_at = r.began_at,
    last_ended_at = r.ended_at, last_outcome = r.outcome, last_seconds = r.seconds, last_error = r.error,
    last_done_at = CASE WHEN r.outcome = 'done' THEN r.ended_at ELSE d.last_done_at END
FROM json_to_recordset(%(rows)s::json)
    AS r(name text, pid int, began_at timestamptz, ended_at timestamptz, seconds float8, outcome text, error text)
WHERE d.name = r.name AND coalesce(d.last_ended_at <= r.ended_at, true)

-- name: sums
INSERT INTO daemon_hour AS h (name, hour, runs, failures, seconds)
SELECT name, date_trunc('hour', now()), runs, failures, seconds
FROM json_to_recordset(%(rows)s::json) AS r(name text, runs bigint, failures bigint, seconds float8) ORDER BY name
ON CONFLICT (hour, name) DO UPDATE SET runs = h.runs + excluded.runs, failures = h.failures + excluded.failures,
    seconds = h.seconds + excluded.seconds

-- name: in_hand
-- What goes on here, and when each is due next. Where several machines do a duty its row shows one of them.
WITH r AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS r(name text, pid int, since timestamptz)
), n AS MATERIALIZED (
    SELECT key AS name, now() + make_interval(secs => value::float8) AS at FROM json_each_text(%(next)s::json)
)
UPDATE daemon_duty d SET
    running_host = CASE WHEN r.name IS NOT NULL THEN %(host)s WHEN d.running_host = %(host)s THEN NULL
        ELSE d.running_host END,
    running_pid = CASE WHEN r.name IS NOT NULL THEN r.pid WHEN d.running_host = %(host)s THEN NULL
        ELSE d.running_pid END,
    running_since = CASE WHEN r.name IS NOT NULL THEN r.since WHEN d.running_host = %(host)s THEN NULL
        ELSE d.running_since END,
    next_at = n.at
FROM n LEFT JOIN r USING (name) WHERE d.name = n.name

-- name: standing
-- A wish that was answered, here where each machine does the duty, is none any more.
SELECT name, paused_at IS NOT NULL, CASE WHEN asked_at > now() - interval '1 hour' AND NOT EXISTS (
    SELECT FROM daemon_run r WHERE r.name = d.name AND r.asked_at = d.asked_at AND (d.is_alone OR r.host = %(host)s))
    THEN asked_at END
FROM daemon_duty d WHERE paused_at IS NOT NULL OR asked_at > now() - interval '1 hour'

-- name: duties
SELECT d.name, d.what, d.every, d.is_alone, d.is_vital, d.limit_s, d.paused_at, d.paused_by, d.paused_why, d.asked_at,
    d.last_host, d.last_pid, d.last_began_at, d.last_ended_at, d.last_outcome, d.last_seconds, d.last_error,
    d.last_done_at, d.next_at, d.running_host, d.running_since, coalesce(h.runs, 0), coalesce(h.failures, 0), d.told_at, now()
FROM daemon_duty d LEFT JOIN (
    SELECT name, sum(runs)::bigint AS runs, sum(failures)::bigint AS failures FROM daemon_hour
    WHERE hour >= date_trunc('hour', now()) - interval '1 hour' GROUP BY name) AS h USING (name)
ORDER BY d.name

-- name: ask
WITH asked AS (
    UPDATE daemon_duty SET asked_at = clock_timestamp(), asked_by = %(actor)s WHERE name = %(name)s
    RETURNING name, asked_at, is_alone, paused_at IS NOT NULL AS is_paused
), told AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT %(actor)s, 'duty_asked', 'duty ' || name, jsonb_build_object('by', 'command line') FROM asked
)
SELECT asked_at, is_alone, is_paused, pg_notify('panda_daemon', '')::text FROM asked

-- name: pause
WITH paused AS (
    UPDATE daemon_duty SET paused_at = now(), paused_by = %(actor)s, paused_why = %(reason)s
    WHERE name = %(name)s AND NOT is_vital RETURNING name
), told AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT %(actor)s, 'duty_paused', 'duty ' || name,
        jsonb_build_object('reason', %(reason)s::text, 'by', 'command line') FROM paused
)
SELECT name, pg_notify('panda_daemon', '')::text FROM paused

-- name: resume
WITH resumed AS (
    UPDATE daemon_duty SET paused_at = NULL, paused_by = NULL, paused_why = NULL
    WHERE name = %(name)s AND paused_at IS NOT NULL RETURNING name
), told AS (
    INSERT INTO audit (actor, action, object, detail)
    SELECT %(actor)s, 'duty_resumed', 'duty ' || name, jsonb_build_object('by', 'command line') FROM resumed
)
SELECT name, pg_notify('panda_daemon', '')::text FROM resumed

-- name: known
SELECT name, is_vital FROM daemon_duty ORDER BY name

-- name: answers
SELECT host, pid, began_at, ended_at, seconds, slices, outcome, error FROM daemon_run
WHERE name = %(name)s AND asked_at = %(asked_at)s ORDER BY run_id

-- name: daemons
SELECT count(DISTINCT host) FROM process WHERE service = 'daemon' AND seen_at > now() - interval '20 s'
