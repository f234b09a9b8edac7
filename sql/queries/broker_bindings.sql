-- Statements about the bindings that programs of this database ever declared.

-- name: declare
INSERT INTO broker_binding (queue, exchange, routing_key) VALUES (%s, %s, %s)
ON CONFLICT (queue, exchange, routing_key) DO UPDATE SET retired_at = NULL
WHERE broker_binding.retired_at IS NOT NULL

-- name: retire
UPDATE broker_binding SET retired_at = now()
WHERE retired_at IS NULL AND (queue, exchange, routing_key) NOT IN (
    SELECT * FROM unnest(%(queues)s::text[], %(exchanges)s::text[], %(routing_keys)s::text[]))

-- name: retired
SELECT queue, exchange, routing_key FROM broker_binding WHERE retired_at IS NOT NULL ORDER BY 1, 2, 3

-- name: forget
DELETE FROM broker_binding WHERE retired_at IS NOT NULL AND (queue, exchange, routing_key) IN (
    SELECT * FROM unnest(%(queues)s::text[], %(exchanges)s::text[], %(routing_keys)s::text[]))
