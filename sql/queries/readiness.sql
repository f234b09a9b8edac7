-- Whether the database can be worked with.

-- name: session
SELECT current_setting('transaction_read_only')::boolean OR pg_is_in_recovery(),
    to_regclass('schema_version') IS NOT NULL

-- name: schema
SELECT max(version) FROM schema_version

-- name: presence
SELECT to_regclass('process') IS NOT NULL

-- name: served
-- What keeps each service from working; null: one of its processes works.
SELECT service, CASE WHEN bool_and(trouble IS NOT NULL) THEN min(trouble) END
FROM process WHERE seen_at > now() - interval '20 s' GROUP BY service
