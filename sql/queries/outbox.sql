-- Statements of the relay: what is left in the outbox, and requests that nobody has handled.

-- name: left
-- Locked row by row as they are fetched, so that a slice is bounded in bytes.
SELECT message_id::text, exchange, routing_key, body, headers, tries, extract(epoch FROM now() - created_at)::float8
FROM outbox
WHERE created_at < now() - make_interval(secs => %(age_s)s) AND (put_off_until IS NULL OR put_off_until <= now())
ORDER BY message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: unhandled
-- None is ever tried for the first time here.
SELECT message_id::text, 'panda.requests', routing_key, body, NULL::jsonb, 1,
       extract(epoch FROM now() - accepted_at)::float8
FROM request WHERE sent_at < now() - make_interval(secs => %(age_s)s)
ORDER BY message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: sent_left
DELETE FROM outbox WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: sent_unhandled
UPDATE request SET sent_at = now() WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: forget_left
DELETE FROM outbox WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: forget_unhandled
DELETE FROM request WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: put_off_left
UPDATE outbox SET tries = least(tries + 1, 1000), put_off_until = now() + make_interval(secs => %(seconds)s),
    trouble = %(trouble)s
WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: put_off_unhandled
-- As if it had been sent so long ago that it is due then.
UPDATE request SET sent_at = now() + make_interval(secs => %(seconds)s - %(age_s)s)
WHERE message_id = ANY(%(message_ids)s::uuid[])
