-- The processes that run, and whether the database is as they need it.

-- name: show
-- A row of another start is that of a process whose number came round again.
INSERT INTO process AS p (service, host, pid, started_at, seen_at, trouble, trouble_since)
VALUES (%(service)s, %(host)s, %(pid)s, %(started_at)s, now(), %(trouble)s,
    CASE WHEN %(trouble)s::text IS NOT NULL THEN now() END)
ON CONFLICT (service, host, pid) DO UPDATE
SET started_at = excluded.started_at, seen_at = now(), trouble = excluded.trouble,
    trouble_since = CASE WHEN p.started_at = excluded.started_at AND excluded.trouble IS NOT NULL
        THEN coalesce(p.trouble_since, now()) ELSE excluded.trouble_since END

-- name: forget_gone
DELETE FROM process WHERE seen_at < now() - interval '1 hour'

-- name: others_here
SELECT pid FROM process WHERE service = %(service)s AND host = %(host)s AND pid <> %(pid)s

-- name: forget
DELETE FROM process WHERE service = %(service)s AND host = %(host)s AND pid = ANY(%(pids)s)

-- name: has_versions
SELECT to_regclass('schema_version') IS NOT NULL

-- name: newest_version
SELECT max(version) FROM schema_version

-- name: known_steps
SELECT event, source, destination FROM job_transition
