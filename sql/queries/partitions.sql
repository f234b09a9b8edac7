-- Month partitions.

-- name: partitions
SELECT p.relname AS parent, c.relname AS name,
    CASE WHEN d.is_default THEN coalesce(f.rows, 0) ELSE greatest(c.reltuples, 0)::bigint END AS rows,
    pg_total_relation_size(c.oid) AS bytes, d.is_default
FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(c.relpartbound, c.oid) = 'DEFAULT' AS is_default) AS d
    LEFT JOIN (
        SELECT 'job_history' AS parent, count(*) AS rows FROM (SELECT FROM job_history_default LIMIT 10000) AS seen
        UNION ALL SELECT 'job_archive', count(*) FROM (SELECT FROM job_archive_default LIMIT 10000) AS seen
        UNION ALL SELECT 'job_file_archive', count(*) FROM (SELECT FROM job_file_archive_default LIMIT 10000) AS seen
        UNION ALL SELECT 'job_spec_archive', count(*) FROM (SELECT FROM job_spec_archive_default LIMIT 10000) AS seen
        UNION ALL SELECT 'job_sample', count(*) FROM (SELECT FROM job_sample_default LIMIT 10000) AS seen
    ) AS f ON f.parent = p.relname
WHERE p.relkind = 'p' AND c.relkind = 'r' AND p.relname IN (
    'job_history', 'job_archive', 'job_file_archive', 'job_spec_archive', 'job_sample')
ORDER BY p.relname, d.is_default, c.relname

-- name: repair
SELECT repair_partitions(%(parent)s, %(key)s)

-- name: wait_briefly
-- A partition comes and goes under a lock of the whole table: whoever waits for that holds up all behind him.
SELECT set_config('lock_timeout', '2s', true)

-- name: ensure
SELECT ensure_partitions(now() + make_interval(months => n)) FROM generate_series(0, %(months)s) AS n

-- name: in_default
SELECT 'job_history' WHERE EXISTS (SELECT FROM job_history_default)
UNION ALL SELECT 'job_archive' WHERE EXISTS (SELECT FROM job_archive_default)
UNION ALL SELECT 'job_file_archive' WHERE EXISTS (SELECT FROM job_file_archive_default)
UNION ALL SELECT 'job_spec_archive' WHERE EXISTS (SELECT FROM job_spec_archive_default)
UNION ALL SELECT 'job_sample' WHERE EXISTS (SELECT FROM job_sample_default)

-- name: oldest
SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid
WHERE i.inhparent = %(parent)s::regclass
    AND c.relname ~ ('^' || %(parent)s || '_[0-9]{4}_[0-9]{2}$')
    AND c.relname < %(parent)s || to_char((now() - make_interval(months => %(months)s)) AT TIME ZONE 'UTC', '_YYYY_MM')
ORDER BY c.relname LIMIT 1
