-- Statements of the relay: what is left in the outbox, and requests that nobody has handled.

-- name: hand_over
-- Nobody but the relay publishes these, so they are due at once.
INSERT INTO outbox (message_id, exchange, routing_key, body, headers, put_off_until)
SELECT r.message_id, r.exchange, r.routing_key, r.body, r.headers, now()
FROM json_to_recordset(%(rows)s::json) AS r(
    message_id uuid, exchange text, routing_key text, body text, headers jsonb)

-- name: left
-- What was not handed over may still be on its way for a while: whoever wrote it publishes it, and deletes the row.
-- Locked row by row as they are fetched, and weighed before a body is read, so that a slice is bounded in bytes.
SELECT message_id::text, octet_length(body)
FROM outbox
WHERE coalesce(put_off_until, created_at + make_interval(secs => %(age_s)s)) <= now()
ORDER BY message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: unhandled
-- After `age_s`, and then after as long again as it is kept, fifteen times `age_s` at most: for each is a copy more
-- where the first one waits. What the gateway could not publish has no age to reach: it is due at once.
SELECT message_id::text, octet_length(body)
FROM request
WHERE sent_at < now() - least(make_interval(secs => 15 * %(age_s)s),
    greatest(make_interval(secs => %(age_s)s), sent_at - accepted_at))
ORDER BY message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: bodies_left
SELECT message_id::text, exchange, routing_key, body, headers, tries, extract(epoch FROM now() - created_at)::float8
FROM outbox WHERE message_id = ANY(%(message_ids)s::uuid[]) ORDER BY message_id

-- name: bodies_unhandled
SELECT message_id::text, 'panda.requests', routing_key, body, NULL::jsonb, 1,
       extract(epoch FROM now() - accepted_at)::float8
FROM request WHERE message_id = ANY(%(message_ids)s::uuid[]) ORDER BY message_id

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
-- As if it had been sent so long ago that it is due then (see `unhandled`).
UPDATE request SET sent_at = now() + make_interval(secs => %(seconds)s) - least(make_interval(secs => 15 * %(age_s)s),
    greatest(make_interval(secs => %(age_s)s), (now() + make_interval(secs => %(seconds)s) - accepted_at) / 2))
WHERE message_id = ANY(%(message_ids)s::uuid[])
