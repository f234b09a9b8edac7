-- name: fold
-- A row that somebody holds stays as it is: it counts where it lies.
WITH gone AS (
    DELETE FROM job_count
    WHERE ctid = ANY(ARRAY(
        SELECT ctid FROM job_count
        WHERE (SELECT count(*) FROM (SELECT FROM job_count LIMIT %(tolerated)s + 1) AS seen) > %(tolerated)s
        LIMIT %(limit)s FOR UPDATE SKIP LOCKED))
    RETURNING state, site, vo, jobs
), kept AS (
    INSERT INTO job_count (state, site, vo, jobs)
    SELECT state, site, vo, sum(jobs) FROM gone GROUP BY state, site, vo HAVING sum(jobs) <> 0
    RETURNING 1
)
SELECT (SELECT count(*) FROM gone), (SELECT count(*) FROM kept)
