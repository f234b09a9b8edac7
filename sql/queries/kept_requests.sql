-- name: expire
WITH gone AS (
    DELETE FROM request WHERE message_id = ANY(ARRAY(
        SELECT message_id FROM request WHERE accepted_at < now() - make_interval(days => %(days)s)
        ORDER BY message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING message_id, routing_key, body, accepted_at
)
INSERT INTO audit (actor, action, object, detail)
SELECT 'daemon', 'request_expired', message_id::text,
    jsonb_build_object('routing_key', routing_key, 'accepted_at', accepted_at, 'body', body)
FROM gone
