-- name: look_at
-- The next open blocks, each with one of its jobs if none of its files is to come any more, and whether all files left.
WITH next AS (
    SELECT block_id, kind FROM data_block
    WHERE kind IN ('sub', 'dispatch') AND status = 'open' AND block_id > %(after)s
        AND created_at < now() - interval '1 min'
    ORDER BY block_id LIMIT %(limit)s
)
SELECT n.block_id, CASE
    WHEN EXISTS (SELECT FROM job_file f WHERE f.block_id = n.block_id AND f.status = 'unknown') THEN NULL
    WHEN n.kind = 'dispatch' AND EXISTS (
        SELECT FROM job_file f WHERE f.block_id = n.block_id AND f.status = 'pending') THEN NULL
    ELSE (SELECT f.job_id FROM job_file f WHERE f.block_id = n.block_id LIMIT 1) END,
    NOT EXISTS (SELECT FROM job_file f WHERE f.block_id = n.block_id)
FROM next n ORDER BY n.block_id

-- name: lock_empty
-- Against files that are just joining them: who is about to let some in holds the block.
SELECT block_id FROM data_block WHERE block_id = ANY(%(block_ids)s) AND status = 'open'
ORDER BY block_id FOR UPDATE SKIP LOCKED

-- name: close_empty
-- Looked at once more under the lock.
UPDATE data_block b SET status = 'closed', closed_at = now()
WHERE b.block_id = ANY(%(block_ids)s) AND NOT EXISTS (SELECT FROM job_file f WHERE f.block_id = b.block_id)
RETURNING b.name, b.kind
