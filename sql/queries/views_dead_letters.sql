-- What people see of dead letters.

-- name: groups
-- Each cause is found by one step in the index, and its letters are counted there, up to a bound.
WITH RECURSIVE cause AS (
    (SELECT fingerprint, 1 AS number FROM dead_letter
     WHERE status = %(status)s AND fingerprint >= coalesce(%(fingerprint)s::text, '') ORDER BY fingerprint LIMIT 1)
    UNION ALL
    SELECT next.fingerprint, cause.number + 1 FROM cause CROSS JOIN LATERAL (
        SELECT fingerprint FROM dead_letter WHERE status = %(status)s AND fingerprint > cause.fingerprint
        ORDER BY fingerprint LIMIT 1) AS next
    WHERE cause.number < %(most_groups)s
)
SELECT cause.fingerprint, newest.queue, newest.reason, found.letters, found.replays, oldest.at, newest.at,
    newest.dead_letter_id
FROM cause
CROSS JOIN LATERAL (
    SELECT dead_letter_id, at, queue, reason FROM dead_letter
    WHERE status = %(status)s AND fingerprint = cause.fingerprint ORDER BY at DESC, dead_letter_id DESC LIMIT 1) AS newest
CROSS JOIN LATERAL (
    SELECT at FROM dead_letter WHERE status = %(status)s AND fingerprint = cause.fingerprint
    ORDER BY at, dead_letter_id LIMIT 1) AS oldest
CROSS JOIN LATERAL (
    SELECT count(*) AS letters, count(replay_of) AS replays FROM (
        SELECT replay_of FROM dead_letter
        WHERE status = %(status)s AND fingerprint = cause.fingerprint AND at >= %(since)s
        ORDER BY at DESC, dead_letter_id DESC LIMIT %(most_counted)s) AS few) AS found
WHERE newest.at >= %(since)s AND (%(fingerprint)s::text IS NULL OR cause.fingerprint = %(fingerprint)s)
    AND (%(queue)s::text IS NULL OR newest.queue = %(queue)s)
ORDER BY newest.at DESC, newest.dead_letter_id DESC

-- name: open_letters
SELECT count(*) FROM (SELECT FROM dead_letter WHERE status = 'open' LIMIT %(most)s) AS open

-- name: letters
SELECT dead_letter_id, at, queue, reason, fingerprint, status, octet_length(payload), replay_of, times_replayed,
    settled_at, settled_by, settle_reason, edited IS NOT NULL
FROM dead_letter
WHERE status = %(status)s AND true /* which */ AND (at, dead_letter_id) < (%(before_at)s, %(before_id)s)
ORDER BY at DESC, dead_letter_id DESC LIMIT %(limit)s

-- name: letter
SELECT dead_letter_id, at, queue, reason, fingerprint, status, octet_length(payload), replay_of, times_replayed,
    settled_at, settled_by, settle_reason, edited IS NOT NULL,
    exchange, routing_key, headers, error, substring(payload FROM 1 FOR %(most_bytes)s), edit_diff
FROM dead_letter WHERE dead_letter_id = %(letter_id)s

-- name: earlier
-- What it was before, the oldest first: letters that were replayed one after the other.
WITH RECURSIVE line AS (
    SELECT replay_of AS letter_id, 1 AS back FROM dead_letter WHERE dead_letter_id = %(letter_id)s
    UNION ALL
    SELECT d.replay_of, back + 1 FROM line JOIN dead_letter d ON d.dead_letter_id = line.letter_id WHERE back < %(most)s
)
SELECT d.dead_letter_id, d.at, d.status, d.reason, d.settled_at, d.settled_by, d.settle_reason, d.edited IS NOT NULL
FROM line JOIN dead_letter d ON d.dead_letter_id = line.letter_id ORDER BY d.dead_letter_id

-- name: later
SELECT dead_letter_id, at, status, reason, settled_at, settled_by, settle_reason, edited IS NOT NULL
FROM dead_letter WHERE replay_of = %(letter_id)s ORDER BY dead_letter_id LIMIT %(most)s

-- name: meant
-- Open letters that are meant, as many as weigh no more than `bytes`; the first whatever it weighs.
WITH next AS MATERIALIZED (
    SELECT dead_letter_id, octet_length(payload) AS size FROM dead_letter
    WHERE status = 'open' AND dead_letter_id > %(after)s
      AND (%(ids)s::bigint[] IS NULL OR dead_letter_id = ANY(%(ids)s))
      AND (%(fingerprint)s::text IS NULL OR fingerprint = %(fingerprint)s)
      AND (%(queue)s::text IS NULL OR queue = %(queue)s)
    ORDER BY dead_letter_id LIMIT %(limit)s
), weighed AS (
    SELECT dead_letter_id, row_number() OVER by_age AS place, sum(size) OVER by_age AS weight
    FROM next WINDOW by_age AS (ORDER BY dead_letter_id)
)
SELECT d.dead_letter_id, d.queue, d.payload FROM weighed JOIN dead_letter d USING (dead_letter_id)
WHERE place = 1 OR weight <= %(bytes)s ORDER BY 1

-- name: blocks
-- Blocks that exist, each with some of the live jobs that have files in it.
SELECT b.name, array(SELECT DISTINCT job_id FROM (
    SELECT job_id FROM job_file WHERE block_id = b.block_id LIMIT %(most)s) AS few)
FROM data_block b WHERE b.name = ANY(%(names)s)

-- name: live
SELECT job_id, state, version, attempt_nr, has_report FROM job WHERE job_id = ANY(%(job_ids)s)

-- name: archived
SELECT job_id FROM job_ended WHERE job_id = ANY(%(job_ids)s)
