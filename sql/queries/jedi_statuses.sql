-- What JEDI is to be told and has not been yet, and its jobs as they are now. `OFFSET 0`, `ANY(ARRAY(...))`: ADR 0036.

-- name: be_alone
-- One reporter tells at a time, until the transaction ends. What it has told is not worth waiting for the disk: told
-- twice, it is the same.
SELECT pg_try_advisory_xact_lock(7237128, hashtext('jedi.status')), set_config('synchronous_commit', 'off', true)

-- name: window
-- In the order of their numbers, but for those of the tasks that are held; with a glance at each live job.
SELECT m.seq, m.msg_id::text, m.kind, m.vo, m.task_id, m.job_id, m.state, m.prev, m.service,
    extract(epoch FROM m.at)::float8, m.body,
    j.attempt_nr, j.site, j.label, j.priority, coalesce(j.pilot ->> 'node', j.node), j.pilot ->> 'job_sub_status'
FROM (
    SELECT * FROM jedi_message
    WHERE seq > 0 AND (vo, task_id) NOT IN (SELECT * FROM unnest(%(vos)s::text[], %(task_ids)s::bigint[]))
    ORDER BY seq LIMIT %(limit)s
) AS m
LEFT JOIN LATERAL (SELECT * FROM job WHERE job_id = m.job_id AND is_jedis OFFSET 0) AS j ON true
ORDER BY m.seq

-- name: files
-- How many files there are to tell of.
SELECT job_id, count(*) FROM job_file WHERE job_id = ANY(%(job_ids)s) GROUP BY job_id

-- name: jobs
-- Specification and files only of those in `ended`.
SELECT j.job_id, j.state, j.attempt_nr, j.vo, j.task_id, j.site, j.label, j.priority, j.core_count, j.jobset_id,
    j.special_handling, j.node, extract(epoch FROM j.started_at)::float8, extract(epoch FROM j.ended_at)::float8,
    coalesce(j.pilot, '{}'), coalesce(j.errors, '{}'), (
        SELECT jsonb_build_object('file_ids', spec -> 'file_ids', 'event_service', spec -> 'event_service')
        FROM job_spec WHERE job_id = CASE WHEN j.job_id = ANY(%(ended)s) THEN j.job_id END), (
        SELECT json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block, f.destination,
            f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq)
        FROM job_file f WHERE f.job_id = CASE WHEN j.job_id = ANY(%(ended)s) THEN j.job_id END)
FROM job j WHERE j.job_id = ANY(%(job_ids)s) AND j.is_jedis

-- name: archived_jobs
SELECT j.job_id, j.state, j.attempt_nr, j.vo, j.task_id, j.site, j.label, j.priority, j.core_count, j.jobset_id,
    j.special_handling, j.node, extract(epoch FROM j.started_at)::float8, extract(epoch FROM j.ended_at)::float8,
    coalesce(j.pilot, '{}'), coalesce(j.errors, '{}'), (
        SELECT jsonb_build_object('file_ids', spec -> 'file_ids', 'event_service', spec -> 'event_service')
        FROM job_spec_archive
        WHERE job_id = CASE WHEN j.job_id = ANY(%(ended)s) THEN j.job_id END AND ended_at = j.ended_at), (
        SELECT json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block, f.destination,
            f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq)
        FROM job_file_archive f
        WHERE f.job_id = CASE WHEN j.job_id = ANY(%(ended)s) THEN j.job_id END AND f.ended_at = j.ended_at)
FROM job_ended e CROSS JOIN LATERAL (
    SELECT * FROM job_archive WHERE job_id = e.job_id AND ended_at = e.ended_at OFFSET 0) AS j
WHERE e.job_id = ANY(%(job_ids)s) AND j.is_jedis

-- name: told
DELETE FROM jedi_message WHERE seq = ANY(%(seqs)s)

-- name: since
-- From which number on to look for what was said since `seq` was: numbers are given before what they are of is committed,
-- so one that is smaller may have come later, by no more than a transaction lasts.
SELECT coalesce((
    SELECT s.seq FROM jedi_job s
    WHERE s.seq <= %(seq)s AND s.changed_at < (
        SELECT changed_at FROM jedi_job WHERE seq <= %(seq)s ORDER BY seq DESC LIMIT 1) - interval '2 minutes'
    ORDER BY s.seq DESC LIMIT 1), 0), coalesce((SELECT seq FROM jedi_job WHERE seq > 0 ORDER BY seq DESC LIMIT 1), 0)

-- name: page_since
-- What moves on meanwhile gets a greater number than `until` and is told anyway.
SELECT job_id, seq, vo, task_id, extract(epoch FROM changed_at)::float8 FROM jedi_job
WHERE seq > %(after)s AND seq <= %(until)s AND vo = %(vo)s ORDER BY seq LIMIT %(limit)s

-- name: page_of_task
-- What nothing was told of, for it is older than that, has no number yet.
SELECT j.job_id, coalesce(k.seq, 0), %(vo)s, %(task_id)s, coalesce(extract(epoch FROM k.changed_at), 0)::float8
FROM (
    SELECT job_id FROM job WHERE task_id = %(task_id)s AND vo = %(vo)s AND is_jedis AND job_id > %(after)s
    UNION
    SELECT job_id FROM job_archive WHERE task_id = %(task_id)s AND vo = %(vo)s AND is_jedis AND job_id > %(after)s
    ORDER BY job_id LIMIT %(limit)s
) AS j LEFT JOIN LATERAL (SELECT * FROM jedi_job WHERE job_id = j.job_id OFFSET 0) AS k ON true
ORDER BY j.job_id

-- name: page_of_jobs
SELECT j.job_id, coalesce(k.seq, 0), %(vo)s, coalesce(k.task_id, 0), coalesce(extract(epoch FROM k.changed_at), 0)::float8
FROM (
    SELECT DISTINCT job_id FROM unnest(%(job_ids)s::bigint[]) AS job_id WHERE job_id > %(after)s
    ORDER BY job_id LIMIT %(limit)s
) AS j LEFT JOIN LATERAL (SELECT * FROM jedi_job WHERE job_id = j.job_id OFFSET 0) AS k ON true
ORDER BY j.job_id

-- name: tell_activity
-- By the daemon, once a minute: reads through all that was heard of, and the counts. Nothing while JEDI was not told for
-- long: what is old is of no use to it, and would only grow in number.
WITH asked AS (
    DELETE FROM site_request RETURNING site, getjob
), heard AS (
    SELECT j.vo, j.site, count(*) AS jobs FROM job_heard h JOIN job j ON j.job_id = h.job_id
    WHERE cardinality(%(vos)s::text[]) > 0 AND h.heard_at > now() - interval '1 minute' GROUP BY j.vo, j.site
), there AS (
    SELECT vo, site, coalesce(sum(jobs) FILTER (WHERE state = 'running'), 0) AS running,
        coalesce(sum(jobs) FILTER (WHERE state = 'activated'), 0) AS activated
    FROM job_count WHERE state IN ('running', 'activated') GROUP BY vo, site HAVING sum(jobs) > 0
)
INSERT INTO jedi_message (kind, vo, task_id, service, body)
SELECT 'site_activity', s.vo, 0, 'daemon', jsonb_build_object('site', s.site,
    'getjob', coalesce((SELECT sum(getjob) FROM asked a WHERE a.site = s.site), 0),
    'updatejob', coalesce((SELECT jobs FROM heard h WHERE h.vo = s.vo AND h.site = s.site), 0),
    'running', coalesce(t.running, 0), 'activated', coalesce(t.activated, 0))
FROM (
    SELECT v.vo, a.site FROM unnest(%(vos)s::text[]) AS v(vo), asked a
    UNION SELECT vo, site FROM heard WHERE vo = ANY(%(vos)s)
    UNION SELECT vo, site FROM there WHERE vo = ANY(%(vos)s)
) AS s LEFT JOIN there t ON t.vo = s.vo AND t.site = s.site
WHERE NOT EXISTS (
    SELECT FROM (SELECT at FROM jedi_message WHERE seq > 0 ORDER BY seq LIMIT 1) AS first
    WHERE first.at < now() - interval '5 minutes')
ORDER BY s.vo, s.site
