-- What operators do with dead letters.

-- name: count
SELECT count(*) FROM dead_letter
WHERE status = 'open' AND (%(ids)s::bigint[] IS NULL OR dead_letter_id = ANY(%(ids)s))
  AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)

-- name: open_letters
-- The next that are meant, as many as weigh no more than `bytes`; the first whatever it weighs. What somebody holds
-- is being settled just now.
WITH next AS MATERIALIZED (
    SELECT dead_letter_id, octet_length(payload) AS size FROM dead_letter
    WHERE status = 'open' AND dead_letter_id > %(after)s
      AND (%(ids)s::bigint[] IS NULL OR dead_letter_id = ANY(%(ids)s))
      AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
      AND (%(queue)s::text IS NULL OR queue = %(queue)s)
    ORDER BY dead_letter_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), weighed AS (
    SELECT dead_letter_id, row_number() OVER by_age AS place, sum(size) OVER by_age AS weight
    FROM next WINDOW by_age AS (ORDER BY dead_letter_id)
)
SELECT dead_letter_id FROM weighed WHERE place = 1 OR weight <= %(bytes)s ORDER BY 1

-- name: payloads
SELECT dead_letter_id, queue, payload, headers, routing_key
FROM dead_letter WHERE dead_letter_id = ANY(%(ids)s) ORDER BY 1

-- name: body
SELECT payload FROM dead_letter WHERE dead_letter_id = %(letter_id)s

-- name: open_letter
SELECT dead_letter_id, queue, payload, headers, routing_key
FROM dead_letter WHERE dead_letter_id = %(letter_id)s AND status = 'open' FOR UPDATE

-- name: settle
WITH settled AS (
    UPDATE dead_letter SET status = %(status)s, settled_at = now(), settled_by = %(actor)s, settle_reason = %(reason)s,
        edited = %(edited)s, edit_diff = %(edit_diff)s
    WHERE dead_letter_id = ANY(%(ids)s)
    RETURNING dead_letter_id, queue
)
INSERT INTO audit (actor, action, object, detail)
SELECT %(actor)s, 'dead_letter_' || %(status)s, 'dead letter ' || dead_letter_id, jsonb_build_object('queue', queue) || %(detail)s
FROM settled
