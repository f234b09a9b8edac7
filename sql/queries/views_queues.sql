-- Queues and processes as operators see them.

-- name: now
-- The newest sample of each queue, and beside it one of a minute before (the first, in a young system) and one of five.
SELECT s.queue, now(), ARRAY[s.at, m.at, f.at],
    ARRAY[s.ready, m.ready, f.ready], ARRAY[s.consumers, m.consumers, f.consumers], ARRAY[s.handled, m.handled, f.handled],
    s.buried, s.put_off, s.oldest_at, s.was_there
FROM queue_sample s
LEFT JOIN LATERAL (
    SELECT at, ready, consumers, handled FROM queue_sample
    WHERE queue = s.queue AND at < s.at AND at > s.at - interval '65 seconds'
    ORDER BY at LIMIT 1) AS m ON true
LEFT JOIN LATERAL (
    SELECT at, ready, consumers, handled FROM queue_sample
    WHERE queue = s.queue AND at <= s.at - interval '5 minutes' AND at > s.at - interval '15 minutes'
    ORDER BY at DESC LIMIT 1) AS f ON true
WHERE s.at = (SELECT max(at) FROM queue_sample)

-- name: pauses
SELECT kind, name, actor, reason, since, until FROM pause
WHERE is_paused AND coalesce(until > now(), true) ORDER BY kind, name

-- name: processes
SELECT service, host, pid, extract(epoch FROM now() - started_at)::float8, extract(epoch FROM now() - seen_at)::float8,
    trouble, extract(epoch FROM now() - trouble_since)::float8, queue, program, handled, batches, buried, put_off,
    per_s::float8, in_hand, extract(epoch FROM now() - in_hand_since)::float8,
    extract(epoch FROM now() - handled_at)::float8, is_paused, started_at, busy::float8
FROM process ORDER BY service, host, pid

-- name: hour
-- An hour of one queue, in steps of 30 s: the most that waited, the oldest age, what was handled until then.
SELECT step, max(s.ready), max(extract(epoch FROM s.at - s.oldest_at))::float8, max(s.handled), max(s.consumers)
FROM generate_series(
    date_bin('30 seconds', now() - interval '1 hour', 'epoch'), now() - interval '5 seconds', '30 seconds') AS step
LEFT JOIN queue_sample s ON s.queue = %(queue)s AND s.at >= step AND s.at < step + interval '30 seconds'
GROUP BY step ORDER BY step

-- name: died
-- Dead letters of a queue that nobody has settled, by what went wrong.
SELECT fingerprint, min(reason), count(*), min(at), max(at)
FROM dead_letter WHERE status = 'open' AND queue = %(queue)s
GROUP BY fingerprint ORDER BY max(at) DESC LIMIT 20
