-- What is stuck, for people. Each part is bounded, and found by an index or read from a small table.

-- name: summary
-- What each rule finds, by place: what the daemon found when it went over all jobs last (ADR 0046), and bounded looks at
-- what waits elsewhere, each with the seconds of its rule. From queue to queue of those where jobs wait it goes by the
-- index; the one that is next there says for how long.
WITH RECURSIVE after AS MATERIALIZED (
    SELECT key AS rule, now() - make_interval(secs => value::float8) AS at FROM jsonb_each_text(%(after_s)s::jsonb)
), queue AS (
    (SELECT site, 1 AS number FROM job_waiting ORDER BY site LIMIT 1)
    UNION ALL
    SELECT n.site, q.number + 1
    FROM queue q CROSS JOIN LATERAL (
        SELECT site FROM job_waiting WHERE site > q.site ORDER BY site LIMIT 1) AS n
    WHERE q.number < %(queues)s
)
SELECT s.rule, 'job' AS noun, s.site AS place, s.jobs, s.oldest_at, w.ended_at AS looked_at
FROM stuck_walk w JOIN stuck_site s ON s.walk = w.walk - 1
UNION ALL
SELECT 'outbox_old', 'message', o.exchange || '/' || o.routing_key, count(*), min(o.created_at), NULL
FROM (SELECT exchange, routing_key, created_at FROM outbox ORDER BY message_id LIMIT %(most)s) AS o
WHERE o.created_at < (SELECT at FROM after WHERE rule = 'outbox_old')
GROUP BY 3
UNION ALL
SELECT 'unacked_old', 'message', r.routing_key, count(*), min(r.accepted_at), NULL
FROM (SELECT routing_key, accepted_at, sent_at FROM request ORDER BY message_id LIMIT %(most)s) AS r
WHERE r.accepted_at < (SELECT at FROM after WHERE rule = 'unacked_old') AND r.sent_at < now()
GROUP BY 3
UNION ALL
SELECT 'no_consumer', 'job', n.service, (
    SELECT greatest(coalesce(sum(c.jobs), 0), 0)::bigint FROM job_count c WHERE n.states ? c.state), max(p.seen_at), NULL
FROM jsonb_each(%(services)s::jsonb) AS n(service, states) LEFT JOIN process p ON p.service = n.service
GROUP BY n.service, n.states
HAVING coalesce(max(p.seen_at), '-infinity') < (SELECT at FROM after WHERE rule = 'no_consumer')
UNION ALL
SELECT 'activated_no_asks', 'job', q.site, (
    SELECT greatest(coalesce(sum(c.jobs), 0), 1)::bigint FROM job_count c WHERE c.state = 'activated' AND c.site = q.site),
    greatest(f.state_changed_at, a.last_at), NULL
FROM queue q
CROSS JOIN LATERAL (
    SELECT job_id FROM job_waiting WHERE site = q.site ORDER BY priority DESC, job_id LIMIT 1) AS w
CROSS JOIN LATERAL (SELECT state_changed_at FROM job WHERE job_id = w.job_id AND state = 'activated' OFFSET 0) AS f
LEFT JOIN LATERAL (SELECT max(last_at) AS last_at FROM pilot_ask WHERE site = q.site) AS a ON true
WHERE greatest(f.state_changed_at, a.last_at) < (SELECT at FROM after WHERE rule = 'activated_no_asks')
UNION ALL
SELECT 'upstream_silent', 'message', 'JEDI of ' || m.vo, count(*), min(m.at), NULL
FROM (SELECT vo, at FROM jedi_message ORDER BY seq LIMIT %(most)s) AS m
WHERE m.at < (SELECT at FROM after WHERE rule = 'upstream_silent')
GROUP BY 3
UNION ALL
SELECT 'state_disagrees', 'job', coalesce(j.site, ''), count(*), min(d.deadline_at), NULL
FROM (
    (SELECT job_id, deadline_at FROM job_deadline
    WHERE NOT ended AND deadline_at > 'epoch' AND deadline_at < (SELECT at FROM after WHERE rule = 'state_disagrees')
    ORDER BY deadline_at LIMIT %(most)s)
    UNION ALL
    (SELECT job_id, NULL FROM job_deadline WHERE trouble IS NOT NULL ORDER BY job_id LIMIT %(most)s)
) AS d LEFT JOIN LATERAL (SELECT site FROM job WHERE job_id = d.job_id OFFSET 0) AS j ON true
GROUP BY 3
ORDER BY rule, noun, jobs DESC, place

-- name: jobs_of_rule
-- As they were found, and as they are now.
SELECT s.job_id, s.site, s.since, s.state, j.state, j.task_id, j.waits_for
FROM stuck_walk w JOIN stuck_job s ON s.walk = w.walk - 1
LEFT JOIN LATERAL (SELECT state, task_id, waits_for FROM job WHERE job_id = s.job_id OFFSET 0) AS j ON true
WHERE s.rule = %(rule)s AND (%(site)s::text IS NULL OR s.site = %(site)s::text)
ORDER BY s.since, s.job_id LIMIT %(limit)s

-- name: jobs_that_disagree
SELECT d.job_id, coalesce(j.site, ''), d.deadline_at, j.state, j.state, j.task_id, coalesce(d.trouble, j.waits_for)
FROM (
    (SELECT job_id, deadline_at, trouble FROM job_deadline
    WHERE NOT ended AND deadline_at > 'epoch' AND deadline_at < now() - make_interval(secs => %(after_s)s)
    ORDER BY deadline_at LIMIT %(most)s)
    UNION
    (SELECT job_id, deadline_at, trouble FROM job_deadline WHERE trouble IS NOT NULL ORDER BY job_id LIMIT %(most)s)
) AS d LEFT JOIN LATERAL (SELECT site, state, task_id, waits_for FROM job WHERE job_id = d.job_id OFFSET 0) AS j ON true
WHERE %(site)s::text IS NULL OR j.site = %(site)s::text
ORDER BY d.deadline_at, d.job_id LIMIT %(limit)s

-- name: jobs_nobody_asks_for
SELECT w.job_id, w.site, j.state_changed_at, j.state, j.state, j.task_id, j.waits_for
FROM (
    SELECT job_id, site FROM job_waiting WHERE site = %(site)s::text ORDER BY priority DESC, job_id LIMIT %(limit)s
) AS w CROSS JOIN LATERAL (
    SELECT state, state_changed_at, task_id, waits_for FROM job WHERE job_id = w.job_id OFFSET 0) AS j
