-- Keys that all gateways share.

-- name: shared_key
SELECT key FROM shared_key WHERE name = %(name)s

-- name: propose_key
INSERT INTO shared_key (name, key) VALUES (%(name)s, %(key)s) ON CONFLICT DO NOTHING
