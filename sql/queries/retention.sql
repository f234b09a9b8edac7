-- What is forgotten, the oldest first, `limit` rows at a time.

-- name: forget_reports
-- A report belongs to its job for as long as that lives.
DELETE FROM pilot_report WHERE ctid = ANY(ARRAY(
    SELECT r.ctid FROM pilot_report r
    WHERE r.received_at < now() - make_interval(days => %(days)s)
        AND NOT EXISTS (SELECT FROM job j WHERE j.job_id = r.job_id)
    ORDER BY r.received_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_stdout
-- The same for what it showed: metadata are said again without a new time, and stand in for those of its last words.
DELETE FROM job_stdout WHERE job_id = ANY(ARRAY(
    SELECT s.job_id FROM job_stdout s
    WHERE s.at < now() - make_interval(days => %(days)s)
        AND NOT EXISTS (SELECT FROM job j WHERE j.job_id = s.job_id OFFSET 0)
    ORDER BY s.at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_ignored
DELETE FROM job_ignored WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM job_ignored WHERE last_at < now() - make_interval(days => %(days)s)
    ORDER BY last_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_blocks
-- Closed ones that no live job refers to, not even one whose outputs are in no block yet. What the DDM is still to close
-- or to delete stays: forgotten here, it would be there for ever. Their destination blocks know how many files were in
-- them; those of one that somebody holds stay until it is free.
WITH old AS MATERIALIZED (
    SELECT b.block_id, b.name, b.parent FROM data_block b
    WHERE b.closed_at < now() - make_interval(days => %(days)s)
        AND b.status NOT IN ('tobeclosed', 'completed', 'cleanup')
        AND NOT EXISTS (SELECT FROM job_file f WHERE f.block_id = b.block_id)
        AND NOT EXISTS (SELECT FROM job_file f
            WHERE f.destination_block = b.name AND f.destination_block <> '' AND f.status = 'unknown'
                AND f.block_id IS NULL)
    ORDER BY b.closed_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
), tops AS MATERIALIZED (
    SELECT d.block_id, d.name FROM data_block d
    WHERE d.name = ANY(ARRAY(SELECT parent FROM old WHERE parent <> '' EXCEPT SELECT name FROM old))
    ORDER BY d.block_id FOR UPDATE SKIP LOCKED
), gone AS (
    DELETE FROM data_block WHERE block_id = ANY(ARRAY(
        SELECT o.block_id FROM old o
        WHERE o.parent IN (SELECT name FROM tops UNION ALL SELECT name FROM old)
            OR NOT EXISTS (SELECT FROM data_block d WHERE d.name = o.parent)))
    RETURNING name, parent, number_files
), counted AS (
    UPDATE data_block t SET gone_files = t.gone_files + n.files
    FROM (SELECT parent, sum(number_files) AS files FROM gone WHERE number_files > 0 GROUP BY parent) AS n
    WHERE t.name = n.parent AND t.block_id = ANY(ARRAY(SELECT block_id FROM tops))
)
SELECT name FROM gone

-- name: forget_idle_blocks
-- Open ones that nothing is in and nothing waits for: destination blocks whose sub blocks are forgotten, others that no
-- file ever joined.
DELETE FROM data_block WHERE block_id = ANY(ARRAY(
    SELECT b.block_id FROM data_block b
    WHERE b.created_at < now() - make_interval(days => %(days)s) AND b.closed_at IS NULL
        AND NOT EXISTS (SELECT FROM job_file f WHERE f.block_id = b.block_id)
        AND NOT EXISTS (SELECT FROM job_file f
            WHERE f.destination_block = b.name AND f.destination_block <> '' AND f.status = 'unknown'
                AND f.block_id IS NULL)
        AND NOT EXISTS (SELECT FROM data_block c WHERE c.parent = b.name AND c.parent <> '')
    ORDER BY b.created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_operations
DELETE FROM operation WHERE operation_id = ANY(ARRAY(
    SELECT operation_id FROM operation
    WHERE created_at < now() - make_interval(days => %(days)s) AND status <> 'running'
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_dead_letters
DELETE FROM dead_letter WHERE dead_letter_id = ANY(ARRAY(
    SELECT dead_letter_id FROM dead_letter
    WHERE settled_at < now() - make_interval(days => %(days)s) AND status <> 'open'
    ORDER BY settled_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_audit
DELETE FROM audit WHERE audit_id = ANY(ARRAY(
    SELECT audit_id FROM audit WHERE at < now() - make_interval(days => %(days)s)
    ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_information
-- What changed, not what is known.
DELETE FROM information_history WHERE history_id = ANY(ARRAY(
    SELECT history_id FROM information_history WHERE at < now() - make_interval(days => %(days)s)
    ORDER BY at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: old_sandboxes
-- By name, so that those whose files cannot be removed are passed by.
SELECT name FROM cache_file WHERE created_at < now() - make_interval(days => %(days)s) AND name > %(after)s
ORDER BY name LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: forget_sandboxes
DELETE FROM cache_file WHERE name = ANY(%(names)s)

-- name: forget_workers
DELETE FROM worker WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM worker WHERE last_seen_at < now() - make_interval(days => %(days)s)
    ORDER BY last_seen_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_worker_nodes
DELETE FROM worker_node WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM worker_node WHERE last_seen_at < now() - make_interval(days => %(days)s)
    ORDER BY last_seen_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_inbox
DELETE FROM inbox WHERE message_id = ANY(ARRAY(
    SELECT message_id FROM inbox WHERE received_at < now() - make_interval(days => %(days)s)
    ORDER BY received_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_keys
DELETE FROM idempotency WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM idempotency WHERE created_at < now() - make_interval(days => %(days)s)
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_unanswered
DELETE FROM unanswered WHERE request_id = ANY(ARRAY(
    SELECT request_id FROM unanswered WHERE kept_at < now() - make_interval(days => %(days)s)
    ORDER BY kept_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_jedi_requests
DELETE FROM jedi_request WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM jedi_request WHERE created_at < now() - make_interval(days => %(days)s)
    ORDER BY created_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_jedi_jobs
-- Of ended jobs. The oldest numbers are the oldest rows; those in front that are still alive are few.
DELETE FROM jedi_job WHERE job_id = ANY(ARRAY(
    SELECT k.job_id FROM (SELECT job_id, changed_at FROM jedi_job ORDER BY seq LIMIT 10 * %(limit)s) AS k
    WHERE k.changed_at < now() - make_interval(days => %(days)s)
        AND NOT EXISTS (SELECT FROM job j WHERE j.job_id = k.job_id)
    LIMIT %(limit)s))

-- name: forget_transition_counts
-- Slots of ten seconds for a quarter of an hour, minutes for a day, hours for so many days.
DELETE FROM transition_count WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM (VALUES (10, interval '15 min'), (60, interval '1 day'), (3600, make_interval(days => %(days)s)))
        AS kept(span, age)
    CROSS JOIN LATERAL (
        SELECT ctid FROM transition_count WHERE span = kept.span AND slot < now() - kept.age ORDER BY slot
        LIMIT %(limit)s) AS old
    LIMIT %(limit)s))

-- name: forget_error_counts
DELETE FROM error_count WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM error_count WHERE hour < now() - make_interval(days => %(days)s) ORDER BY hour LIMIT %(limit)s))

-- name: forget_error_sums
DELETE FROM error_rollup WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM (VALUES (3600), (21600), (86400)) AS kept(span)
    CROSS JOIN LATERAL (
        SELECT ctid FROM error_rollup WHERE span = kept.span AND slot < now() - make_interval(days => %(days)s) ORDER BY slot
        LIMIT %(limit)s) AS old
    LIMIT %(limit)s))

-- name: forget_ended_sums
DELETE FROM ended_rollup WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM (VALUES (3600), (86400)) AS kept(span)
    CROSS JOIN LATERAL (
        SELECT ctid FROM ended_rollup WHERE span = kept.span AND slot < now() - make_interval(days => %(days)s) ORDER BY slot
        LIMIT %(limit)s) AS old
    LIMIT %(limit)s))

-- name: forget_sites_ended
-- Minutes for two days.
DELETE FROM site_ended WHERE ctid = ANY(ARRAY(
    SELECT old.ctid FROM (VALUES (60, interval '2 days'), (3600, make_interval(days => %(days)s))) AS kept(span, age)
    CROSS JOIN LATERAL (
        SELECT ctid FROM site_ended WHERE span = kept.span AND slot < now() - kept.age ORDER BY slot
        LIMIT %(limit)s) AS old
    LIMIT %(limit)s))

-- name: forget_nodes_ended
DELETE FROM node_ended WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM node_ended WHERE slot < now() - make_interval(days => %(days)s) ORDER BY slot LIMIT %(limit)s))

-- name: forget_sites_asked
DELETE FROM site_asked WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM site_asked WHERE slot < now() - make_interval(days => %(days)s) ORDER BY slot LIMIT %(limit)s))

-- name: forget_pilot_asks
DELETE FROM pilot_ask WHERE ctid = ANY(ARRAY(
    SELECT ctid FROM pilot_ask WHERE last_at < now() - make_interval(days => %(days)s)
    ORDER BY last_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))

-- name: forget_daemon_runs
-- Of each duty the last 200 are kept, and none that is older.
DELETE FROM daemon_run WHERE run_id = ANY(ARRAY(
    SELECT old.run_id FROM daemon_duty d CROSS JOIN LATERAL (
        SELECT run_id FROM daemon_run r WHERE r.name = d.name ORDER BY run_id DESC OFFSET 200) AS old
    UNION
    SELECT run_id FROM (SELECT run_id, ended_at FROM daemon_run ORDER BY run_id LIMIT %(limit)s) AS first
    WHERE ended_at < now() - make_interval(days => %(days)s)
    LIMIT %(limit)s))

-- name: forget_daemon_hours
DELETE FROM daemon_hour WHERE (hour, name) IN (
    SELECT hour, name FROM daemon_hour WHERE hour < now() - make_interval(days => %(days)s) LIMIT %(limit)s)
