-- Statements of the relay, the clock and replay.

-- name: left_in_outbox
SELECT message_id::text, exchange, routing_key, body, headers FROM outbox
WHERE created_at < now() - make_interval(secs => %(age_s)s)
ORDER BY message_id LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: forget_published
DELETE FROM outbox WHERE message_id = ANY(%(message_ids)s::uuid[])

-- name: try_clock
SELECT pg_try_advisory_xact_lock(7237128)

-- name: overdue
SELECT job_id FROM job_deadline WHERE deadline_at <= now() ORDER BY deadline_at LIMIT 1000 FOR UPDATE SKIP LOCKED

-- name: look_at
-- Locked, so that nobody moves the job while its appointment is moved; what is locked already is looked at next time.
SELECT job_id, state, version, deadline_at > now() AS early FROM job WHERE job_id = ANY(%(job_ids)s)
ORDER BY job_id FOR NO KEY UPDATE SKIP LOCKED

-- name: vanished
SELECT d.job_id FROM unnest(%(job_ids)s::bigint[]) AS d(job_id)
WHERE NOT EXISTS (SELECT FROM job j WHERE j.job_id = d.job_id)

-- name: put_off
UPDATE job_deadline d SET deadline_at = greatest(j.deadline_at, now() + make_interval(secs => %(at_least_s)s))
FROM job j WHERE j.job_id = d.job_id AND d.job_id = ANY(%(job_ids)s)

-- name: drop_deadlines
DELETE FROM job_deadline WHERE job_id = ANY(%(job_ids)s)

-- name: unclosed
-- Final jobs whose sub block is complete but open: the Closer finds it by their files, so these must stay until then.
SELECT DISTINCT f.job_id FROM job_file f JOIN data_block b USING (block_id)
WHERE f.job_id = ANY(%(job_ids)s) AND b.kind = 'sub' AND b.status = 'open'
  AND NOT EXISTS (SELECT FROM job_file u WHERE u.block_id = b.block_id AND u.status = 'unknown')

-- name: archive_jobs
WITH gone AS (DELETE FROM job WHERE job_id = ANY(%(job_ids)s) RETURNING *)
INSERT INTO job_archive SELECT * FROM gone

-- name: archive_files
WITH gone AS (DELETE FROM job_file WHERE job_id = ANY(%(job_ids)s) RETURNING *)
INSERT INTO job_file_archive SELECT g.*, a.ended_at FROM gone g JOIN job_archive a USING (job_id)

-- name: archive_specs
WITH gone AS (DELETE FROM job_spec WHERE job_id = ANY(%(job_ids)s) RETURNING *)
INSERT INTO job_spec_archive SELECT g.*, a.ended_at FROM gone g JOIN job_archive a USING (job_id)

-- name: fold_counts
WITH gone AS (
    DELETE FROM job_count WHERE (SELECT count(*) FROM job_count) > 1000 RETURNING state, site, vo, jobs
)
INSERT INTO job_count (state, site, vo, jobs)
SELECT state, site, vo, sum(jobs) FROM gone GROUP BY state, site, vo HAVING sum(jobs) <> 0

-- name: forget_inbox
DELETE FROM inbox WHERE received_at < now() - interval '7 days'

-- name: ensure_partitions
SELECT ensure_partitions(now()), ensure_partitions(now() + interval '1 month')

-- name: write_outbox
INSERT INTO outbox (message_id, exchange, routing_key, body)
SELECT r.message_id, r.exchange, r.routing_key, r.body
FROM json_to_recordset(%(rows)s::json) AS r(message_id uuid, exchange text, routing_key text, body text)

-- name: accepted_requests
INSERT INTO outbox (message_id, exchange, routing_key, body)
SELECT message_id, 'panda.requests', routing_key, body FROM request
ON CONFLICT DO NOTHING

-- name: live_jobs
SELECT job_id, state, version, verdict, site, vo, task_id FROM job
WHERE job_id > %(after)s AND state IN ('defined', 'holding') ORDER BY job_id LIMIT %(limit)s

-- name: files_under_way
SELECT b.name, b.kind, b.source, b.destination, f.lfn, f.scope, f.size, f.checksum
FROM job j JOIN job_file f USING (job_id) JOIN data_block b USING (block_id)
WHERE (j.state = 'assigned' AND f.status = 'pending') OR (j.state = 'transferring' AND f.status = 'transferring')

-- name: blocks_to_close
SELECT (SELECT f.job_id FROM job_file f WHERE f.block_id = b.block_id LIMIT 1)
FROM data_block b WHERE b.kind = 'sub' AND b.status = 'open'
  AND NOT EXISTS (SELECT FROM job_file u WHERE u.block_id = b.block_id AND u.status = 'unknown')

-- name: dead_letters
SELECT dead_letter_id, at, queue, exchange, routing_key, reason, fingerprint, status, payload
FROM dead_letter WHERE status = %(status)s ORDER BY dead_letter_id LIMIT %(limit)s

-- name: settle_dead_letters
UPDATE dead_letter SET status = %(status)s WHERE dead_letter_id = ANY(%(ids)s) AND status = 'open'
RETURNING dead_letter_id, queue, payload

-- name: write_audit
INSERT INTO audit (actor, action, object, detail) VALUES (%(actor)s, %(action)s, %(object)s, %(detail)s)
