-- name: look_at
-- The next open blocks, each with one of its jobs if none of its files is to come any more.
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
    ELSE (SELECT f.job_id FROM job_file f WHERE f.block_id = n.block_id LIMIT 1) END
FROM next n ORDER BY n.block_id
