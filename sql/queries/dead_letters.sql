-- What operators do with dead letters.

-- name: listed
SELECT dead_letter_id, at, queue, exchange, routing_key, reason, error, fingerprint, status, headers, payload
FROM dead_letter
WHERE status = %(status)s AND (%(ids)s::bigint[] IS NULL OR dead_letter_id = ANY(%(ids)s))
  AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
ORDER BY dead_letter_id LIMIT %(limit)s

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
SELECT dead_letter_id, queue, payload, headers FROM dead_letter WHERE dead_letter_id = ANY(%(ids)s) ORDER BY 1

-- name: settle
WITH settled AS (
    UPDATE dead_letter SET status = %(status)s, settled_at = now() WHERE dead_letter_id = ANY(%(ids)s)
    RETURNING dead_letter_id, queue
)
INSERT INTO audit (actor, action, object, detail)
SELECT %(actor)s, 'dead_letter_' || %(status)s, dead_letter_id::text, jsonb_build_object('queue', queue) FROM settled
