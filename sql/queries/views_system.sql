-- What the database says of itself: from its catalogue and its statistics, never by counting.

-- name: database
SELECT current_setting('server_version'), pg_database_size(current_database()),
    current_setting('max_connections')::int, current_setting('transaction_read_only')::bool,
    coalesce((SELECT max(version) FROM schema_version), '')

-- name: connections
SELECT coalesce(nullif(application_name, ''), 'unknown'), count(*), count(*) FILTER (WHERE state = 'active'),
    count(*) FILTER (WHERE state LIKE 'idle in transaction%%'), count(*) FILTER (WHERE wait_event_type = 'Lock')
FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend'
GROUP BY 1 ORDER BY 2 DESC, 1 LIMIT 100

-- name: tables
-- Of a partitioned table all partitions together.
SELECT coalesce(p.relname, c.relname)::text, coalesce(sum(s.n_live_tup), 0)::bigint,
    coalesce(sum(s.n_dead_tup), 0)::bigint, sum(pg_total_relation_size(c.oid))::bigint, count(p.oid),
    max(greatest(s.last_autovacuum, s.last_vacuum))
FROM pg_stat_user_tables s JOIN pg_class c ON c.oid = s.relid AND c.relkind = 'r'
LEFT JOIN pg_inherits i ON i.inhrelid = c.oid LEFT JOIN pg_class p ON p.oid = i.inhparent
GROUP BY 1 ORDER BY 4 DESC, 1 LIMIT %(limit)s

-- name: horizons
-- Partitions are named by their month.
SELECT p.relname::text, max((to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month')::date)
FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid JOIN pg_class p ON p.oid = i.inhparent
WHERE p.relkind = 'p' AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
GROUP BY 1 ORDER BY 1
