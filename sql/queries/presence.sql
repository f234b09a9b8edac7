-- The processes that run, and whether the database is as they need it.

-- name: show
-- A row of another start is that of a process whose number came round again.
-- Answers whether the queue is paused, and which version of the information there is.
INSERT INTO process AS p (service, host, pid, started_at, seen_at, trouble, trouble_since, queue, program, handled, batches,
    buried, put_off, per_s, in_hand, in_hand_since, handled_at, is_paused, metrics, busy)
VALUES (%(service)s, %(host)s, %(pid)s, %(started_at)s, now(), %(trouble)s,
    CASE WHEN %(trouble)s::text IS NOT NULL THEN now() END, %(queue)s, %(program)s, %(handled)s, %(batches)s,
    %(buried)s, %(put_off)s, %(per_s)s, %(in_hand)s, now() - make_interval(secs => %(in_hand_s)s::float8),
    now() - make_interval(secs => %(handled_s)s::float8), %(is_paused)s, %(metrics)s, %(busy)s::real)
ON CONFLICT (service, host, pid) DO UPDATE
SET started_at = excluded.started_at, seen_at = now(), metrics = excluded.metrics, trouble = excluded.trouble,
    trouble_since = CASE WHEN p.started_at = excluded.started_at AND excluded.trouble IS NOT NULL
        THEN coalesce(p.trouble_since, now()) ELSE excluded.trouble_since END,
    queue = excluded.queue, program = excluded.program, handled = excluded.handled, batches = excluded.batches,
    buried = excluded.buried, put_off = excluded.put_off, per_s = excluded.per_s, in_hand = excluded.in_hand,
    in_hand_since = excluded.in_hand_since, handled_at = excluded.handled_at, is_paused = excluded.is_paused,
    busy = excluded.busy
RETURNING EXISTS (
    SELECT FROM pause WHERE kind = 'queue' AND name = p.queue AND is_paused AND coalesce(until > now(), true)),
    (SELECT version FROM information_version)

-- name: add_work
INSERT INTO queue_work AS w (queue, handled, buried, put_off)
VALUES (%(queue)s, %(handled)s, %(buried)s, %(put_off)s)
ON CONFLICT (queue) DO UPDATE
SET handled = w.handled + excluded.handled, buried = w.buried + excluded.buried, put_off = w.put_off + excluded.put_off

-- name: metrics_addresses
SELECT service, host, metrics FROM process
WHERE metrics IS NOT NULL AND seen_at > now() - interval '20 s' ORDER BY service, host, pid

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
