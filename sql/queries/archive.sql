-- Statements of the archive.

-- name: due
SELECT job_id FROM job_deadline WHERE ended AND deadline_at <= now()
ORDER BY deadline_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED

-- name: look_at
-- A job waits for its blocks that are complete but open: the Closer finds them by its files.
SELECT j.job_id, j.state, j.deadline_at, EXISTS (
    SELECT FROM job_file f JOIN data_block b ON b.block_id = f.block_id
    WHERE f.job_id = j.job_id AND b.status IN ('open', 'defined', 'running')
        AND NOT EXISTS (SELECT FROM job_file u WHERE u.block_id = b.block_id AND u.status = 'unknown')
        AND (b.kind = 'sub' OR b.kind = 'dispatch' AND NOT EXISTS (
            SELECT FROM job_file u WHERE u.block_id = b.block_id AND u.status = 'pending'))
), now()
FROM job j WHERE j.job_id = ANY(%(job_ids)s) ORDER BY j.job_id FOR UPDATE OF j SKIP LOCKED

-- name: look_later
UPDATE job_deadline d SET deadline_at = r.look_at, ended = r.ended
FROM json_to_recordset(%(rows)s::json) AS r(job_id bigint, look_at timestamptz, ended boolean)
WHERE d.job_id = r.job_id

-- name: columns
-- Of each table the columns there are, and those that its archive lacks.
SELECT t.name, array_agg(c.attname::text ORDER BY c.attnum),
    array_agg(c.attname::text ORDER BY c.attnum) FILTER (WHERE a.attname IS NULL)
FROM unnest(ARRAY['job', 'job_file', 'job_spec']) AS t(name)
JOIN pg_attribute c ON c.attrelid = t.name::regclass AND c.attnum > 0 AND NOT c.attisdropped
LEFT JOIN pg_attribute a ON a.attrelid = (t.name || '_archive')::regclass AND a.attname = c.attname AND NOT a.attisdropped
GROUP BY t.name

-- name: held_rows
-- Asked only once a move had to wait: the jobs of which somebody holds a row of this table.
SELECT job_id FROM {table} WHERE job_id = ANY(%(job_ids)s) AND ctid <> ALL(ARRAY(
    SELECT ctid FROM {table} WHERE job_id = ANY(%(job_ids)s) FOR UPDATE SKIP LOCKED))

-- name: held_blocks
-- The same for blocks that a move counts files of.
SELECT f.job_id FROM job_file f JOIN data_block b ON b.block_id = f.block_id
WHERE f.job_id = ANY(%(job_ids)s) AND (b.kind = 'destination' OR b.status IN ('open', 'defined', 'running'))
    AND b.block_id <> ALL(ARRAY(
        SELECT o.block_id FROM data_block o
        WHERE o.block_id = ANY(ARRAY(SELECT DISTINCT block_id FROM job_file WHERE job_id = ANY(%(job_ids)s)))
        ORDER BY o.block_id FOR UPDATE SKIP LOCKED))

-- name: move
-- One statement, so that all that belongs to a job goes with it, filed under the time at which it ended.
WITH g AS (
    DELETE FROM job WHERE job_id = ANY(%(job_ids)s) RETURNING {job}
), f AS (
    DELETE FROM job_file WHERE job_id = ANY(%(job_ids)s) RETURNING {job_file}
), s AS (
    DELETE FROM job_spec WHERE job_id = ANY(%(job_ids)s) RETURNING {job_spec}
), heard AS (
    DELETE FROM job_heard WHERE job_id = ANY(%(job_ids)s)
), told AS (
    DELETE FROM job_told WHERE job_id = ANY(%(job_ids)s)
), left_seats AS (
    DELETE FROM seat WHERE job_id = ANY(%(job_ids)s)
), downstream AS (
    DELETE FROM job_upstream WHERE job_id = ANY(%(job_ids)s)
), kept AS (
    DELETE FROM job_deadline WHERE job_id = ANY(%(job_ids)s)
), counted AS (
    -- Their blocks may take files of others for long; where one is just being closed, it counts them itself. Destination
    -- blocks may be closed again and again, so what is gone is counted apart.
    UPDATE data_block b SET
        number_files = CASE WHEN b.kind = 'destination' THEN b.number_files ELSE coalesce(b.number_files, 0) + n.files END,
        gone_files = CASE WHEN b.kind = 'destination' THEN b.gone_files + n.files ELSE b.gone_files END
    FROM (SELECT block_id, count(*) AS files FROM f GROUP BY block_id) AS n
    WHERE b.block_id = n.block_id AND b.block_id = ANY(ARRAY(
        SELECT o.block_id FROM data_block o
        WHERE o.block_id = ANY(ARRAY(SELECT DISTINCT block_id FROM f))
            AND (o.kind = 'destination' OR o.status IN ('open', 'defined', 'running')) ORDER BY o.block_id FOR UPDATE))
), remembered AS (
    INSERT INTO job_ended (job_id, ended_at) SELECT g.job_id, g.ended_at FROM g
), archived AS (
    INSERT INTO job_archive ({job}) SELECT {g_job} FROM g
), archived_files AS (
    INSERT INTO job_file_archive ({job_file}, ended_at) SELECT {f_job_file}, g.ended_at FROM f JOIN g ON g.job_id = f.job_id
)
INSERT INTO job_spec_archive ({job_spec}, ended_at) SELECT {s_job_spec}, g.ended_at FROM s JOIN g ON g.job_id = s.job_id
