-- Month partitions.

-- name: partitions
SELECT p.relname AS parent, c.relname AS name, greatest(c.reltuples, 0)::bigint AS rows,
    pg_total_relation_size(c.oid) AS bytes, pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default
FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
WHERE p.relkind = 'p' AND c.relkind = 'r' AND p.relname = ANY (%(parents)s::text[])
ORDER BY p.relname, is_default, c.relname

-- name: in_default
-- Of one table; counting stops where more would say nothing new.
SELECT {parent}, count(*) FROM (SELECT FROM {default} LIMIT %(most)s) AS seen

-- name: repair
SELECT repair_partitions(%(parent)s, %(key)s)

-- name: wait_briefly
-- A partition comes and goes under a lock of the whole table: whoever waits for that holds up all behind him.
SELECT set_config('lock_timeout', '2s', true)

-- name: ensure
SELECT ensure_partitions(now() + make_interval(months => n)) FROM generate_series(0, %(months)s) AS n

-- name: oldest
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %(parent)s::regclass
    AND c.relname ~ ('^' || %(parent)s || '_[0-9]{4}_[0-9]{2}$')
    AND c.relname < %(parent)s || to_char((now() - make_interval(months => %(months)s)) AT TIME ZONE 'UTC', '_YYYY_MM')
ORDER BY c.relname LIMIT 1
