-- One job, live or archived, for people: a few statements, each by an index. Of what may be long only a part is read.

-- name: job
SELECT j.*, s.max_attempt, s.gshare, s.working_group, s.transformation, now() AS as_of FROM (
    SELECT j.job_id, j.state, j.version, j.attempt_nr, j.vo, j.site, j.label, j.priority, j.task_id, j.destination,
        j.command, j.verdict, j.has_report, j.deadline_at, j.state_changed_at, j.created_at,
        (SELECT heard_at FROM job_heard WHERE job_id = j.job_id) AS heard_at, j.waits_for,
        coalesce(cardinality(j.left_by), 0) AS returns, j.processing_type, j.is_jedis, j.no_reassign,
        false AS is_archived, j.name, j.user_name, j.owner, j.job_definition_id, j.jobset_id, j.core_count, j.min_ram, j.max_disk,
        j.max_walltime, j.resource_type, j.holder, j.node, j.left_by, j.errors, coalesce(j.pilot - 'stdout', '{}') AS pilot,
        j.modified_at,
        j.started_at, j.ended_at, j.is_background
    FROM job j WHERE j.job_id = %(job_id)s
    UNION ALL
    SELECT j.job_id, j.state, j.version, j.attempt_nr, j.vo, j.site, j.label, j.priority, j.task_id, j.destination,
        j.command, j.verdict, j.has_report, j.deadline_at, j.state_changed_at, j.created_at, NULL, j.waits_for,
        coalesce(cardinality(j.left_by), 0), j.processing_type, j.is_jedis, j.no_reassign,
        true, j.name, j.user_name, j.owner, j.job_definition_id, j.jobset_id, j.core_count, j.min_ram, j.max_disk,
        j.max_walltime, j.resource_type, j.holder, j.node, j.left_by, j.errors, coalesce(j.pilot - 'stdout', '{}') AS pilot,
        j.modified_at,
        j.started_at, j.ended_at, j.is_background
    FROM job_ended e JOIN job_archive j ON j.job_id = e.job_id AND j.ended_at = e.ended_at WHERE e.job_id = %(job_id)s
) AS j LEFT JOIN LATERAL (
    SELECT left(s.spec ->> 'max_attempt', 9) AS max_attempt, left(s.spec ->> 'gshare', 200) AS gshare,
        left(s.spec ->> 'working_group', 200) AS working_group, left(s.spec ->> 'transformation', 500) AS transformation
    FROM (
        SELECT spec FROM job_spec WHERE job_id = %(job_id)s
        UNION ALL
        SELECT a.spec FROM job_ended e JOIN job_spec_archive a ON a.job_id = e.job_id AND a.ended_at = e.ended_at
        WHERE e.job_id = %(job_id)s
    ) AS s LIMIT 1
) AS s ON true
LIMIT 1

-- name: files
-- Blocks are known as long as they are kept.
SELECT f.lfn, f.type, f.scope, f.dataset, f.size, f.status, f.destination, f.destination_block, b.name, b.status,
    b.source, b.destination, b.created_at, f.in_all
FROM (
    SELECT *, count(*) OVER () AS in_all FROM (
        SELECT seq, lfn, type, scope, dataset, size, status, destination, destination_block, block_id
        FROM job_file WHERE job_id = %(job_id)s
        UNION ALL
        SELECT f.seq, f.lfn, f.type, f.scope, f.dataset, f.size, f.status, f.destination, f.destination_block, f.block_id
        FROM job_ended e JOIN job_file_archive f ON f.job_id = e.job_id AND f.ended_at = e.ended_at
        WHERE e.job_id = %(job_id)s
    ) AS files ORDER BY seq LIMIT %(most)s
) AS f LEFT JOIN LATERAL (
    SELECT name, status, source, destination, created_at FROM data_block WHERE block_id = f.block_id OFFSET 0) AS b ON true
ORDER BY f.seq

-- name: reports
-- Without what is long: metadata, and what it stored.
SELECT attempt_nr, state, received_at, (
    SELECT coalesce(jsonb_object_agg(key, CASE WHEN length(value::text) > 500 THEN to_jsonb(left(value::text, 500) || ' …')
        ELSE value END), '{}')
    FROM jsonb_each(attributes - '{metadata,stdout}'::text[]))
FROM pilot_report WHERE job_id = %(job_id)s ORDER BY attempt_nr DESC LIMIT 20

-- name: repeated
SELECT what, times, last_at FROM job_ignored WHERE job_id = %(job_id)s ORDER BY last_at, what LIMIT 50

-- name: places
SELECT d.deadline_at, d.trouble, h.heard_at, w.job_id IS NOT NULL, t.actor, t.held_at, k.seq, k.changed_at,
    m.seq IS NULL, p.status, p.last_seen_at,
    (SELECT sum(jobs)::bigint FROM job_count WHERE state = %(state)s AND site = %(site)s)
FROM (SELECT) AS one
LEFT JOIN job_deadline d ON d.job_id = %(job_id)s
LEFT JOIN job_heard h ON h.job_id = %(job_id)s
LEFT JOIN job_waiting w ON w.job_id = %(job_id)s
LEFT JOIN held_task t ON t.task_id = %(task_id)s
LEFT JOIN jedi_job k ON k.job_id = %(job_id)s
LEFT JOIN LATERAL (SELECT seq FROM jedi_message WHERE seq = k.seq) AS m ON true
LEFT JOIN worker p ON p.harvester_id = %(harvester_id)s AND p.worker_id = %(worker_id)s

-- name: related
-- Attempts before and after, builds and merges, and of its task some others of the same jobset.
WITH other AS (
    (SELECT old_job_id AS job_id, CASE relation WHEN 'retry' THEN 'attempt before' ELSE relation || ' of' END AS how
    FROM job_retry WHERE new_job_id = %(job_id)s LIMIT %(most)s)
    UNION ALL
    (SELECT new_job_id, CASE relation WHEN 'retry' THEN 'attempt after' ELSE relation END
    FROM job_retry WHERE old_job_id = %(job_id)s LIMIT %(most)s)
    UNION ALL
    (SELECT upstream_id, CASE WHEN merges THEN 'merges its outputs' ELSE 'makes what it reads' END
    FROM job_upstream WHERE job_id = %(job_id)s ORDER BY upstream_id LIMIT %(most)s)
    UNION ALL
    (SELECT job_id, CASE WHEN merges THEN 'it merges its outputs' ELSE 'reads what it makes' END
    FROM job_upstream WHERE upstream_id = %(job_id)s ORDER BY job_id LIMIT %(most)s)
    UNION ALL
    (SELECT job_id, 'of the same jobset' FROM (
        SELECT job_id, jobset_id FROM job WHERE task_id = %(task_id)s AND %(jobset_id)s > 0 LIMIT 2000
    ) AS of_task WHERE jobset_id = %(jobset_id)s AND job_id <> %(job_id)s ORDER BY job_id DESC LIMIT 10)
)
SELECT o.job_id, o.how, coalesce(j.state, a.state), coalesce(j.errors, a.errors)
FROM other o
LEFT JOIN LATERAL (SELECT state, errors FROM job WHERE job_id = o.job_id OFFSET 0) AS j ON true
LEFT JOIN LATERAL (
    SELECT a.state, a.errors FROM job_ended e JOIN job_archive a ON a.job_id = e.job_id AND a.ended_at = e.ended_at
    WHERE e.job_id = o.job_id OFFSET 0) AS a ON true

-- name: deeds
-- What was done to it: rows that name it or a range with it. Those of many jobs say which they were.
SELECT audit_id, at, actor, action, object, detail
FROM audit
WHERE object LIKE 'job%%' AND audit_jobs(object) @> %(job_id)s::bigint
ORDER BY audit_id DESC LIMIT %(most)s

-- name: turn
-- How many of its queue are given away before it, and whether none is given away there.
SELECT (
    SELECT count(*) FROM (
        SELECT FROM job_waiting WHERE site = %(site)s AND priority > %(priority)s
        UNION ALL SELECT FROM job_waiting WHERE site = %(site)s AND priority = %(priority)s AND job_id < %(job_id)s
        LIMIT %(most)s
    ) AS first
), p.name IS NOT NULL, p.actor, p.reason, p.until
FROM (SELECT) AS one
LEFT JOIN pause p ON p.kind = 'site' AND p.name = %(site)s AND p.is_paused AND (p.until IS NULL OR p.until > now())

-- name: asks
SELECT filters, last_at, asks, jobs FROM pilot_ask WHERE site = %(site)s ORDER BY last_at DESC LIMIT 50

-- name: stays
-- How long steps out of a state took at a site lately, in buckets: up to 2 ^ (bucket / 2) ms.
SELECT c.bucket, sum(c.jobs)::bigint
FROM transition_count c
WHERE c.site = %(site)s AND c.span = 3600 AND c.slot >= now() - interval '24 hours'
    AND c.transition_id = ANY(ARRAY(SELECT transition_id FROM job_transition WHERE source = %(state)s)) AND c.bucket >= 0
GROUP BY c.bucket ORDER BY c.bucket

-- name: services
-- Those that do not work: none of their processes gives a sign, or all say why they cannot.
SELECT s.service, CASE WHEN count(p.pid) = 0 THEN 'none of its processes lives' ELSE min(p.trouble) END
FROM unnest(%(services)s::text[]) AS s(service)
LEFT JOIN process p ON p.service = s.service AND p.seen_at > now() - interval '20 s'
GROUP BY s.service HAVING count(p.pid) = count(p.trouble)
ORDER BY s.service
