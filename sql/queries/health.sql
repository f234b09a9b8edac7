-- What an operator wants to know. Counts stop where more would say nothing new.

-- name: processes
SELECT service, host, pid,
    extract(epoch FROM now() - started_at)::float8 AS up_s,
    extract(epoch FROM now() - seen_at)::float8 AS silent_s,
    trouble,
    extract(epoch FROM now() - trouble_since)::float8 AS trouble_s
FROM process ORDER BY service, host, pid

-- name: figures
SELECT o.*, r.*, d.*, q.*
FROM (
    SELECT count(*) AS outbox, coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 AS oldest_outbox_s,
        count(*) FILTER (WHERE tries > 0) AS put_off
    FROM (SELECT tries, created_at FROM outbox ORDER BY message_id LIMIT 10000) AS oldest
) AS o, (
    SELECT count(*) AS requests, coalesce(extract(epoch FROM now() - min(accepted_at)), 0)::float8 AS oldest_request_s
    FROM (SELECT accepted_at FROM request ORDER BY message_id LIMIT 10000) AS oldest
    WHERE accepted_at < now() - interval '1 minute'
) AS r, (
    SELECT count(*) AS dead_letters FROM dead_letter WHERE status = 'open'
) AS d, (
    SELECT count(*) AS quarantined, mode() WITHIN GROUP (ORDER BY trouble) AS quarantined_for
    FROM job_deadline WHERE trouble IS NOT NULL
) AS q

-- name: oldest_transaction
-- What keeps dead rows from being removed: the queue tables grow slow behind it.
SELECT coalesce(extract(epoch FROM now() - min(since)), 0)::float8 AS oldest_transaction_s,
    coalesce((array_agg(who ORDER BY since))[1], '') AS oldest_transaction
FROM (
    SELECT xact_start, coalesce(nullif(application_name, ''), usename::text, 'unknown') || ', process ' || pid
    FROM pg_stat_activity
    WHERE datname = current_database() AND backend_type = 'client backend' AND xact_start IS NOT NULL
        AND pid <> pg_backend_pid()
    UNION ALL
    SELECT prepared, 'prepared transaction ' || gid FROM pg_prepared_xacts WHERE database = current_database()
) AS open (since, who)

-- name: now
SELECT clock_timestamp()
