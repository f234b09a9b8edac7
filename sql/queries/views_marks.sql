-- name: marks
-- A row a topic: whoever looks at a page of it looks again once its mark is another one. All are found in an index or
-- in tables of few rows; a new topic is one row more.
SELECT 'audit', coalesce(max(audit_id), 0)::text FROM audit
UNION ALL
SELECT 'flow', until::text FROM history_counted
UNION ALL
SELECT 'jobs', coalesce(max(at)::text, '') FROM job_count
UNION ALL SELECT 'queues', coalesce(max(at)::text, '') || coalesce((SELECT max(since)::text FROM pause), '') FROM queue_sample
UNION ALL SELECT 'operations', coalesce(max(worked_at)::text, '') FROM operation
UNION ALL SELECT 'workers', coalesce(max(seen_at)::text, '') FROM process
UNION ALL
SELECT 'stuck', walk::text FROM stuck_walk
UNION ALL SELECT 'dead', coalesce(max(dead_letter_id), 0) || coalesce((SELECT max(settled_at)::text FROM dead_letter
    WHERE settled_at IS NOT NULL), '') FROM dead_letter
