-- Tasks, for people. No task is counted through: what may be a million jobs is read up to a bound.

-- name: listed
-- From task to task by the index, the newest first, those without jobs left out; of each some jobs are counted.
WITH RECURSIVE task AS (
    (SELECT task_id, 1 AS number FROM job WHERE task_id < %(after)s AND task_id > 0 ORDER BY task_id DESC LIMIT 1)
    UNION ALL
    SELECT n.task_id, t.number + 1
    FROM task t CROSS JOIN LATERAL (
        SELECT task_id FROM job WHERE task_id < t.task_id AND task_id > 0 ORDER BY task_id DESC LIMIT 1) AS n
    WHERE t.number < %(limit)s
)
SELECT t.task_id, j.vo, j.label, j.user_name, j.states, j.jobs > %(counted)s, h.actor, h.held_at, j.changed_at
FROM task t CROSS JOIN LATERAL (/* jobs */) AS j LEFT JOIN held_task h ON h.task_id = t.task_id
ORDER BY t.task_id DESC

-- name: held
SELECT h.task_id, coalesce(j.vo, ''), coalesce(j.label, ''), coalesce(j.user_name, ''), coalesce(j.states, '{}'),
    coalesce(j.jobs > %(counted)s, false), h.actor, h.held_at, j.changed_at
FROM (
    SELECT * FROM held_task WHERE task_id < %(after)s ORDER BY task_id DESC LIMIT %(limit)s
) AS h CROSS JOIN LATERAL (SELECT h.task_id) AS t LEFT JOIN LATERAL (/* jobs */) AS j ON true
ORDER BY h.task_id DESC

-- name: one
SELECT t.task_id, j.vo, j.label, j.user_name, j.states, j.jobs > %(counted)s, h.actor, h.held_at, j.changed_at
FROM (SELECT %(task_id)s::bigint AS task_id) AS t CROSS JOIN LATERAL (/* jobs */) AS j
LEFT JOIN held_task h ON h.task_id = t.task_id
WHERE j.jobs > 0

-- name: jobs
-- A part of those above: what is said of some jobs of a task.
SELECT min(s.vo) AS vo, min(s.label) AS label, min(s.user_name) AS user_name, sum(s.jobs) AS jobs,
    jsonb_object_agg(s.state, s.jobs) AS states, max(s.changed_at) AS changed_at
FROM (
    SELECT k.state, count(*) AS jobs, min(k.vo) AS vo, min(k.label) AS label, min(k.user_name) AS user_name,
        max(k.state_changed_at) AS changed_at
    FROM (
        SELECT state, vo, label, user_name, state_changed_at FROM job WHERE task_id = t.task_id LIMIT %(counted)s + 1
    ) AS k GROUP BY k.state
) AS s HAVING count(*) > 0

-- name: life
-- What is said of a task as a whole: of live jobs and of those in the archive, each up to a bound, and what is noted of it.
SELECT l.states, a.states, coalesce(l.vo, b.vo), coalesce(l.label, b.label), coalesce(l.user_name, b.user_name),
    coalesce(l.is_jedis, b.is_jedis), coalesce(l.jobs, 0) > %(counted)s OR coalesce(a.jobs, 0) > %(archived)s,
    h.actor, h.held_at, (
        SELECT count(*) FROM (SELECT task_id FROM jedi_message ORDER BY seq LIMIT 1000) AS m WHERE m.task_id = %(task_id)s)
FROM (SELECT) AS one
LEFT JOIN held_task h ON h.task_id = %(task_id)s
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(s.state, s.jobs) AS states, sum(s.jobs) AS jobs, min(s.vo) AS vo, min(s.label) AS label,
        min(s.user_name) AS user_name, bool_or(s.is_jedis) AS is_jedis
    FROM (
        SELECT k.state, count(*) AS jobs, min(k.vo) AS vo, min(k.label) AS label, min(k.user_name) AS user_name,
            bool_or(k.is_jedis) AS is_jedis
        FROM (
            SELECT state, vo, label, user_name, is_jedis FROM job WHERE task_id = %(task_id)s LIMIT %(counted)s + 1
        ) AS k GROUP BY k.state
    ) AS s
) AS l ON true
LEFT JOIN LATERAL (
    SELECT jsonb_object_agg(s.state, s.jobs) AS states, sum(s.jobs) AS jobs
    FROM (
        SELECT k.state, count(*) AS jobs FROM (
            SELECT state FROM job_archive WHERE task_id = %(task_id)s ORDER BY ended_at DESC, job_id DESC
            LIMIT %(archived)s + 1
        ) AS k GROUP BY k.state
    ) AS s
) AS a ON true
LEFT JOIN LATERAL (
    SELECT vo, label, user_name, is_jedis FROM job_archive WHERE task_id = %(task_id)s
    ORDER BY ended_at DESC, job_id DESC LIMIT 1
) AS b ON true

-- name: some_jobs
-- The newest, and those that failed last: of so many live jobs, and of so many that went to the archive last.
WITH live AS MATERIALIZED (
    SELECT job_id, state, site, attempt_nr, state_changed_at, errors FROM job WHERE task_id = %(task_id)s LIMIT %(counted)s
), gone AS MATERIALIZED (
    SELECT job_id, state, site, attempt_nr, ended_at, errors FROM (
        SELECT * FROM job_archive WHERE task_id = %(task_id)s ORDER BY ended_at DESC, job_id DESC LIMIT 1000) AS a
), found AS (
    (SELECT 'newest' AS kind, j.* FROM live j ORDER BY job_id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT 'newest', j.* FROM gone j ORDER BY job_id DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT 'failing', j.* FROM live j WHERE state IN ('failed', 'closed', 'cancelled')
    ORDER BY state_changed_at DESC LIMIT %(limit)s)
    UNION ALL
    (SELECT 'failing', j.* FROM gone j WHERE state IN ('failed', 'closed', 'cancelled') ORDER BY ended_at DESC LIMIT %(limit)s)
)
SELECT f.kind, f.job_id, f.state, f.site, f.attempt_nr, f.state_changed_at, f.errors, k.seq, k.changed_at
FROM found f LEFT JOIN LATERAL (SELECT seq, changed_at FROM jedi_job WHERE job_id = f.job_id OFFSET 0) AS k ON true

-- name: files
SELECT f.type, f.status, count(*), count(DISTINCT f.job_id)
FROM (SELECT job_id FROM job WHERE task_id = %(task_id)s LIMIT 500) AS j
CROSS JOIN LATERAL (SELECT job_id, type, status FROM job_file WHERE job_id = j.job_id OFFSET 0) AS f
GROUP BY f.type, f.status ORDER BY f.type, f.status

-- name: deeds
SELECT audit_id, at, actor, action, object, detail FROM audit WHERE object = %(object)s ORDER BY audit_id DESC LIMIT 50
