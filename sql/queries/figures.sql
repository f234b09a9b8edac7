-- Figures of the whole system: the name of each is that of its metric, its columns are the labels and last the value.
-- Counts stop where more would say nothing new.

-- name: panda_jobs
SELECT state, site, sum(jobs)::float8 FROM job_count GROUP BY state, site HAVING sum(jobs) > 0

-- name: panda_outbox_messages
SELECT count(*)::float8 FROM (SELECT FROM outbox ORDER BY message_id LIMIT 10000) AS oldest

-- name: panda_outbox_oldest_seconds
SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8
FROM (SELECT created_at FROM outbox ORDER BY message_id LIMIT 1000) AS oldest

-- name: panda_outbox_put_off
SELECT count(*) FILTER (WHERE tries > 0)::float8 FROM (SELECT tries FROM outbox ORDER BY message_id LIMIT 10000) AS oldest

-- name: panda_kept_requests
SELECT count(*)::float8 FROM (SELECT FROM request ORDER BY message_id LIMIT 10000) AS oldest

-- name: panda_kept_requests_oldest_seconds
SELECT coalesce(extract(epoch FROM now() - min(accepted_at)), 0)::float8
FROM (SELECT accepted_at FROM request ORDER BY message_id LIMIT 1000) AS oldest

-- name: panda_dead_letters_open
SELECT queue, count(*)::float8 FROM dead_letter WHERE status = 'open' GROUP BY queue

-- name: panda_queue_messages
SELECT queue, ready::float8 FROM queue_sample
WHERE ready IS NOT NULL AND at = (SELECT max(at) FROM queue_sample WHERE at > now() - interval '1 minute')

-- name: panda_queue_consumers
SELECT queue, consumers::float8 FROM queue_sample
WHERE ready IS NOT NULL AND at = (SELECT max(at) FROM queue_sample WHERE at > now() - interval '1 minute')

-- name: panda_queue_oldest_seconds
SELECT queue, coalesce(extract(epoch FROM now() - oldest_at), 0)::float8 FROM queue_sample
WHERE ready IS NOT NULL AND at = (SELECT max(at) FROM queue_sample WHERE at > now() - interval '1 minute')

-- name: panda_stuck_jobs
SELECT s.rule, s.site, s.jobs::float8 FROM stuck_walk w JOIN stuck_site s ON s.walk = w.walk - 1

-- name: panda_appointments_in_trouble
SELECT count(*)::float8 FROM job_deadline WHERE trouble IS NOT NULL

-- name: panda_jedi_untold_messages
SELECT count(*)::float8 FROM (SELECT FROM jedi_message WHERE seq > 0 ORDER BY seq LIMIT 10000) AS oldest

-- name: panda_jedi_untold_oldest_seconds
SELECT coalesce(extract(epoch FROM now() - min(at)), 0)::float8
FROM (SELECT at FROM jedi_message WHERE seq > 0 ORDER BY seq LIMIT 1) AS oldest

-- name: panda_partition_horizon_seconds
SELECT p.relname, extract(epoch FROM
    max((to_date(right(c.relname, 7), 'YYYY_MM') + interval '1 month') AT TIME ZONE 'UTC') - now())::float8
FROM pg_inherits i JOIN pg_class p ON p.oid = i.inhparent JOIN pg_class c ON c.oid = i.inhrelid
WHERE p.relkind = 'p' AND p.relnamespace = 'public'::regnamespace AND c.relname ~ '_[0-9]{4}_[0-9]{2}$'
GROUP BY p.relname

-- name: panda_service_processes
SELECT service, count(*)::float8 FROM process WHERE seen_at > now() - interval '20 s' GROUP BY service

-- name: panda_processes_in_trouble
SELECT service, count(*)::float8 FROM process
WHERE seen_at > now() - interval '20 s' AND trouble IS NOT NULL GROUP BY service

-- name: panda_gateways
SELECT count(*)::float8 FROM process WHERE seen_at > now() - interval '20 s' AND service = 'gateway'

-- name: panda_gateway_machines
SELECT count(DISTINCT host)::float8 FROM process WHERE seen_at > now() - interval '20 s' AND service = 'gateway'

-- name: panda_pulse_silent_seconds
SELECT CASE name WHEN 'clock' THEN 'daemon' ELSE name END, greatest(0, extract(epoch FROM now() - ticked_at))::float8 FROM pulse

-- name: panda_transaction_oldest_seconds
SELECT coalesce(extract(epoch FROM now() - min(xact_start)), 0)::float8 FROM pg_stat_activity
WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()

-- name: panda_database_connections
SELECT 'used', count(*)::float8 FROM pg_stat_activity WHERE backend_type = 'client backend'
UNION ALL SELECT 'most', current_setting('max_connections')::float8
