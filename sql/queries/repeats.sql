-- Requests that come twice, and what they were answered.

-- name: answer_to
SELECT request_hash, answer FROM idempotency WHERE owner = %(owner)s AND key = %(key)s

-- name: hold
-- Equal requests are decided one after another: the second sees what became of the first.
SELECT pg_advisory_xact_lock(lock) FROM unnest(%(locks)s::bigint[]) AS lock

-- name: unanswered
-- Those of this process are in good hands, or noted as lost.
SELECT owner, request_hash, request_id::text, answer,
    NOT is_lost AND kept_at > clock_timestamp() - make_interval(secs => %(lost_after_s)s) AS is_open
FROM unanswered
WHERE request_hash = ANY(%(hashes)s) AND request_id <> ALL(%(here)s::uuid[])
    AND kept_at > now() - make_interval(secs => %(within_s)s)
ORDER BY is_open DESC, kept_at DESC

-- name: note_unanswered
INSERT INTO unanswered (request_id, owner, request_hash, answer)
SELECT * FROM json_to_recordset(%(rows)s::json) AS r (request_id uuid, owner text, request_hash text, answer text)

-- name: note_keys
-- Whoever comes second with a key waits here for what becomes of the first.
INSERT INTO idempotency (owner, key, request_hash, answer)
SELECT * FROM json_to_recordset(%(rows)s::json) AS r (owner text, key text, request_hash text, answer text)
ORDER BY owner, key
ON CONFLICT DO NOTHING
RETURNING owner, key

-- name: answers_to
SELECT i.owner, i.key, i.request_hash, i.answer
FROM json_to_recordset(%(rows)s::json) AS r (owner text, key text)
JOIN idempotency i ON i.owner = r.owner AND i.key = r.key

-- name: answered
-- Not worth waiting for the disk: whoever loses it asks again within moments of a crash, and is told the same.
DELETE FROM unanswered WHERE request_id = ANY(%(request_ids)s::uuid[])
    AND (SELECT set_config('synchronous_commit', 'off', true)) IS NOT NULL

-- name: lost
UPDATE unanswered SET is_lost = true WHERE request_id = ANY(%(request_ids)s::uuid[])
