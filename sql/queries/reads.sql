-- What people read.

-- name: describe
-- What the pilot says of its outputs at length stays with its last words, as long as those are kept; until then, and
-- where those say nothing of it, what it said before.
SELECT j.*, p.spec, coalesce(r.metadata, s.metadata) AS metadata, f.files,
    coalesce(octet_length(p.spec::text), 0) + coalesce(octet_length(coalesce(r.metadata, s.metadata)), 0)
        + octet_length(f.files::text) AS weight
FROM job j LEFT JOIN job_spec p ON p.job_id = j.job_id
LEFT JOIN LATERAL (SELECT attributes ->> 'metadata' AS metadata FROM pilot_report
    WHERE job_id = j.job_id AND attempt_nr = j.attempt_nr OFFSET 0) r ON true
LEFT JOIN job_stdout s ON s.job_id = j.job_id
CROSS JOIN LATERAL (SELECT coalesce(json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset,
        f.destination_block, f.destination, f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq), '[]') AS files
    FROM job_file f WHERE f.job_id = j.job_id) f
WHERE j.job_id = ANY (%(job_ids)s::bigint[])

-- name: describe_archived
-- The month is known, so no other partition is looked into.
SELECT j.*, p.spec, coalesce(r.metadata, s.metadata) AS metadata, f.files,
    coalesce(octet_length(p.spec::text), 0) + coalesce(octet_length(coalesce(r.metadata, s.metadata)), 0)
        + octet_length(f.files::text) AS weight
FROM job_ended e
JOIN job_archive j ON j.job_id = e.job_id AND j.ended_at = e.ended_at
LEFT JOIN job_spec_archive p ON p.job_id = e.job_id AND p.ended_at = e.ended_at
LEFT JOIN LATERAL (SELECT attributes ->> 'metadata' AS metadata FROM pilot_report
    WHERE job_id = j.job_id AND attempt_nr = j.attempt_nr OFFSET 0) r ON true
LEFT JOIN job_stdout s ON s.job_id = e.job_id
CROSS JOIN LATERAL (SELECT coalesce(json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset,
        f.destination_block, f.destination, f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq), '[]') AS files
    FROM job_file_archive f WHERE f.job_id = e.job_id AND f.ended_at = e.ended_at) f
WHERE e.job_id = ANY (%(job_ids)s::bigint[])

-- name: job_counts
SELECT state, site, sum(jobs)::bigint FROM job_count GROUP BY state, site HAVING sum(jobs) > 0

-- name: task_states
SELECT state, count(*) FROM (
    SELECT state FROM job WHERE task_id = %(task_id)s
    UNION ALL
    SELECT state FROM job_archive WHERE task_id = %(task_id)s
) AS jobs GROUP BY state

-- name: task_hops
-- Time from each step of a job to its next one, of the newest jobs, of so many that are looked at. Their steps lie between
-- birth and last change, which spares the other months of history.
WITH task_job AS (
    (SELECT * FROM (
        SELECT job_id, created_at, modified_at + interval '1 hour' AS quiet_from
        FROM job WHERE task_id = %(task_id)s LIMIT %(most)s
    ) AS live ORDER BY job_id DESC LIMIT %(jobs)s)
    UNION ALL
    (SELECT job_id, created_at, modified_at + interval '1 hour'
    FROM job_archive WHERE task_id = %(task_id)s ORDER BY ended_at DESC, job_id DESC LIMIT %(jobs)s)
), step AS (
    SELECT t.source, t.destination,
        extract(epoch FROM h.at - lag(h.at) OVER (PARTITION BY h.job_id ORDER BY h.version)) * 1000 AS ms
    FROM task_job j
    JOIN job_history h ON h.job_id = j.job_id AND h.at >= j.created_at AND h.at < j.quiet_from
    JOIN job_transition t ON t.transition_id = h.transition_id
)
SELECT source || '→' || destination, count(*),
    percentile_cont(0.5) WITHIN GROUP (ORDER BY ms), percentile_cont(0.95) WITHIN GROUP (ORDER BY ms),
    percentile_cont(0.99) WITHIN GROUP (ORDER BY ms)
FROM step WHERE source IS NOT NULL AND ms IS NOT NULL
GROUP BY source, destination

-- name: list_live
-- Newest first. Who asks for a task or a user has its own rows read, by their index; `OFFSET 0` keeps the planner from
-- going through all jobs in order until it has met enough of them; who asks for anybody's wants just that.
SELECT job_id, state, task_id, site, user_name, label, priority, created_at, started_at, ended_at,
    false AS is_archived
FROM (SELECT * FROM job WHERE true /* whose */ AND job_id < %(after_id)s OFFSET 0) AS j
WHERE (%(state)s::text IS NULL OR state = %(state)s::text)
  AND state_changed_at >= %(since)s AND state_changed_at < %(until)s
ORDER BY job_id DESC LIMIT %(limit)s

-- name: list_archived
-- By the time of their end, which the indexes have behind what leads them.
SELECT job_id, state, task_id, site, user_name, label, priority, created_at, started_at, ended_at,
    true AS is_archived
FROM job_archive
WHERE true /* whose */ AND (%(state)s::text IS NULL OR state = %(state)s::text)
  AND ended_at >= %(since)s AND ended_at < %(until)s
  AND (ended_at, job_id) < (%(after_at)s::timestamptz, %(after_id)s::bigint)
ORDER BY ended_at DESC, job_id DESC LIMIT %(limit)s

-- name: history
-- Between birth and last change, which spares the other months.
SELECT h.version, coalesce(t.event, '?'), t.source, coalesce(t.destination, '?'), h.at, h.service, h.host,
    h.message_id::text, h.detail
FROM (
    SELECT job_id, created_at, modified_at FROM job WHERE job_id = %(job_id)s
    UNION ALL
    SELECT a.job_id, a.created_at, a.modified_at
    FROM job_ended e JOIN job_archive a ON a.job_id = e.job_id AND a.ended_at = e.ended_at
    WHERE e.job_id = %(job_id)s
) AS j
JOIN job_history h ON h.job_id = j.job_id AND h.at >= j.created_at AND h.at < j.modified_at + interval '1 hour'
LEFT JOIN job_transition t ON t.transition_id = h.transition_id
ORDER BY h.version

-- name: samples
SELECT s.at, s.cpu_consumption_time, s.max_rss, s.max_pss, s.n_events, s.tot_rbytes, s.tot_wbytes
FROM job_sample s WHERE s.job_id = %(job_id)s ORDER BY s.slot

-- name: stdout
-- What came while a program of the release before handled it lies with the job.
SELECT s.at, s.stdout FROM job_stdout s WHERE s.job_id = %(job_id)s AND s.stdout <> ''
UNION ALL
SELECT j.modified_at, j.pilot ->> 'stdout' FROM job j WHERE j.job_id = %(job_id)s AND j.pilot ->> 'stdout' IS NOT NULL
ORDER BY 1 DESC LIMIT 1
