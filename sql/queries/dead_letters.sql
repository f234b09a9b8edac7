-- What operators do with dead letters.

-- name: listed
SELECT dead_letter_id, at, queue, exchange, routing_key, reason, error, fingerprint, status, payload
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
-- What somebody holds is being settled just now.
SELECT dead_letter_id, queue, payload FROM dead_letter
WHERE status = 'open' AND dead_letter_id > %(after)s
  AND (%(ids)s::bigint[] IS NULL OR dead_letter_id = ANY(%(ids)s))
  AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
  AND (%(queue)s::text IS NULL OR queue = %(queue)s)
ORDER BY dead_letter_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: settle
WITH settled AS (
    UPDATE dead_letter SET status = %(status)s, settled_at = now() WHERE dead_letter_id = ANY(%(ids)s)
    RETURNING dead_letter_id, queue
)
INSERT INTO audit (actor, action, object, detail)
SELECT %(actor)s, 'dead_letter_' || %(status)s, dead_letter_id::text, jsonb_build_object('queue', queue) FROM settled
