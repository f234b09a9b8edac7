-- Jobs by id, as access to them is decided, live or archived.

-- name: jobs
SELECT job_id, state, attempt_nr, owner, holder, label, command, pilot ->> 'batch_id', has_report, vo, node, left_by,
    is_jedis
FROM job WHERE job_id = ANY (%(job_ids)s::bigint[])

-- name: archived_jobs
SELECT j.job_id, j.state, j.attempt_nr, j.owner, j.holder, j.label, j.command, j.pilot ->> 'batch_id', j.has_report,
    j.vo, j.node, j.left_by, j.is_jedis
FROM job_ended e JOIN job_archive j ON j.job_id = e.job_id AND j.ended_at = e.ended_at
WHERE e.job_id = ANY (%(job_ids)s::bigint[])

-- name: working_groups
SELECT job_id, spec ->> 'working_group' FROM job_spec
WHERE job_id = ANY (%(job_ids)s::bigint[]) AND spec ->> 'working_group' <> ''
UNION ALL
SELECT s.job_id, s.spec ->> 'working_group'
FROM job_ended e JOIN job_spec_archive s ON s.job_id = e.job_id AND s.ended_at = e.ended_at
WHERE e.job_id = ANY (%(job_ids)s::bigint[]) AND s.spec ->> 'working_group' <> ''
