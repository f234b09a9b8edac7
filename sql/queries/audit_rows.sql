-- The audit.

-- name: write_down
INSERT INTO audit (actor, action, object, detail) VALUES (%(actor)s, %(action)s, %(object)s, %(detail)s)
