-- name: look_at
-- The next open blocks, each with its name if nothing of it is to come any more, and with one of its jobs. Those that
-- were spoken of are left alone for ever longer: while the Closer is away its queue must not fill with them.
WITH next AS (
    SELECT block_id, name, kind, vo FROM data_block
    WHERE (kind IN ('sub', 'dispatch') OR closes) AND status IN ('open', 'defined', 'running') AND block_id > %(after)s
        AND created_at < now() - interval '1 min'
        AND (asked_at IS NULL OR asked_at < now() - least(interval '15 min', greatest(interval '1 min', asked_at - created_at)))
    ORDER BY block_id LIMIT %(limit)s
)
SELECT n.block_id, CASE
    WHEN EXISTS (SELECT FROM job_file f WHERE f.block_id = n.block_id AND f.status = 'unknown') THEN NULL
    WHEN n.kind = 'dispatch' AND EXISTS (
        SELECT FROM job_file f WHERE f.block_id = n.block_id AND f.status = 'pending') THEN NULL
    WHEN n.kind = 'destination' AND (EXISTS (
        SELECT FROM data_block c
        WHERE c.parent = n.name AND c.parent <> '' AND c.status IN ('open', 'defined', 'running')) OR EXISTS (
        SELECT FROM job_file f JOIN job j ON j.job_id = f.job_id AND j.vo = n.vo
        WHERE f.destination_block = n.name AND f.destination_block <> '' AND f.status = 'unknown'
            AND f.block_id IS NULL)) THEN NULL
    ELSE n.name END,
    (SELECT f.job_id FROM job_file f WHERE f.block_id = n.block_id LIMIT 1)
FROM next n ORDER BY n.block_id

-- name: spoken_of
UPDATE data_block SET asked_at = now() WHERE block_id = ANY(ARRAY(
    SELECT block_id FROM data_block WHERE block_id = ANY(%(block_ids)s) ORDER BY block_id FOR UPDATE SKIP LOCKED))

-- name: use_up
-- Completed ones of ours that no live job has a file in; what users named is theirs, whatever became of it.
UPDATE data_block SET status = 'cleanup', asked_at = now() WHERE block_id = ANY(ARRAY(
    SELECT b.block_id FROM data_block b
    WHERE b.status = 'completed' AND b.kind IN ('sub', 'dispatch')
        AND b.closed_at < now() - make_interval(secs => %(unused_s)s)
        AND NOT EXISTS (SELECT FROM job_file f WHERE f.block_id = b.block_id)
    ORDER BY b.closed_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING name

-- name: ask_again
-- What the DDM did not answer for long, and then for ever longer; `asked_at` is set by those who ask.
UPDATE data_block SET asked_at = now() WHERE block_id = ANY(ARRAY(
    SELECT block_id FROM data_block
    WHERE status IN ('tobeclosed', 'cleanup') AND kind IN ('sub', 'dispatch')
        AND asked_at < now() - make_interval(secs => %(again_s)s)
        AND (closed_at IS NULL OR asked_at < now() - least(interval '1 day', asked_at - closed_at))
    ORDER BY asked_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
RETURNING name, status
