-- Samples of queues: written by the daemon, a row a queue and round; all of a round have one time.

-- name: turn
SELECT now() WHERE NOT EXISTS (SELECT FROM queue_sample WHERE at > now() - make_interval(secs => %(seconds)s))

-- name: work
SELECT queue, handled, buried, put_off FROM queue_work

-- name: missed
-- Once when a daemon begins it is all that there is, of two hours.
SELECT queue, at, ready, consumers, handled, buried, put_off
FROM queue_sample
WHERE at > greatest(coalesce(%(after)s::timestamptz, '-infinity'), now() - interval '2 hours')
ORDER BY at

-- name: add
INSERT INTO queue_sample (queue, at, ready, consumers, handled, buried, put_off, oldest_at, was_there, of_minute)
SELECT r.queue, now(), r.ready, r.consumers, r.handled, r.buried, r.put_off, r.oldest_at, r.was_there,
    NOT EXISTS (SELECT FROM queue_sample WHERE at >= date_trunc('minute', now()))
FROM json_to_recordset(%(rows)s::json) AS r (
    queue text, ready bigint, consumers int, handled bigint, buried bigint, put_off bigint, oldest_at timestamptz,
    was_there boolean)

-- name: thin_out
-- Two short stretches of the index: what is two hours old now, and what is a day old.
DELETE FROM queue_sample
WHERE (at < now() - interval '2 hours' AND at > now() - interval '130 minutes' AND NOT of_minute)
    OR at < now() - interval '1 day'
