-- The claim: searches for waiting jobs that fit a pilot, each taking what it finds, and the step of what was found.
--
-- A search answers with the ids of the jobs it took, best first; whether there may be jobs that fit but that it did not
-- look at (`unseen`); and, where it looked at all, whether one fits that it could not have (`missed`): somebody holds
-- it for a moment. All skip jobs that are locked instead of waiting for them, so they can be in no deadlock; a row of
-- job_waiting is touched only by who has locked its job. Only `step`, in the same transaction, makes a step of it. For
-- pilots that ask for one task or user, or for the background, sql/searches.py puts another condition in the place of
-- `w.site = ...`. Joins go by index whatever the planner believes (ADR 0036). Cores are one condition: with a second one
-- the planner would believe that nearly nothing fits.

-- name: front
-- A part of `pick_front` and `claim_front`: among the first jobs in the order of dispatch there are enough that fit. None
-- is picked for pilots of which one holds a job already (`seen`).
picked AS MATERIALIZED (
    SELECT w.job_id, w.priority
    FROM (
        SELECT w.job_id, w.priority, w.label, w.resource_type, w.core_count, w.min_ram, w.max_walltime, w.max_disk
        FROM job_waiting w WHERE w.site = %(site)s ORDER BY w.priority DESC, w.job_id LIMIT %(front)s
    ) AS w
    CROSS JOIN LATERAL (
        SELECT FROM job WHERE job_id = w.job_id AND state = 'activated' FOR UPDATE SKIP LOCKED) AS j
    WHERE (%(labels)s::text[] IS NULL OR w.label = ANY (%(labels)s::text[]))
      AND (%(resource_type)s::text IS NULL OR w.resource_type = %(resource_type)s::text)
      AND CASE WHEN w.core_count NOT BETWEEN 1 AND %(too_few_cores)s::int THEN w.core_count END <= %(core_count)s::int
      AND w.min_ram <= %(memory)s::int
      AND w.max_walltime <= %(remaining_time)s::int AND w.max_disk <= %(disk)s::int
      AND NOT EXISTS (SELECT FROM seen WHERE holds)
    ORDER BY w.priority DESC, w.job_id
    LIMIT %(wanted)s
), taken AS (
    DELETE FROM job_waiting WHERE job_id = ANY(ARRAY(SELECT job_id FROM picked))
)

-- name: pick_front
-- The usual case of a search, before `front`.
WITH seen AS (SELECT false AS holds),

-- name: picked_front
-- Behind `front`.
SELECT ARRAY(SELECT job_id FROM picked ORDER BY priority DESC, job_id), true AS unseen, false AS missed

-- name: look_behind
-- The front was not enough: is it all there is? Takes nothing. What was taken is gone already.
SELECT ARRAY[]::bigint[], behind.unseen, CASE WHEN behind.unseen THEN false ELSE EXISTS (
    SELECT FROM (
        SELECT w.job_id, w.label, w.resource_type, w.core_count, w.min_ram, w.max_walltime, w.max_disk
        FROM job_waiting w WHERE w.site = %(site)s ORDER BY w.priority DESC, w.job_id LIMIT %(front)s
    ) AS w
    WHERE (%(labels)s::text[] IS NULL OR w.label = ANY (%(labels)s::text[]))
      AND (%(resource_type)s::text IS NULL OR w.resource_type = %(resource_type)s::text)
      AND CASE WHEN w.core_count NOT BETWEEN 1 AND %(too_few_cores)s::int THEN w.core_count END <= %(core_count)s::int
      AND w.min_ram <= %(memory)s::int
      AND w.max_walltime <= %(remaining_time)s::int AND w.max_disk <= %(disk)s::int
      AND (SELECT j.state FROM job j WHERE j.job_id = w.job_id) = 'activated'
) END AS missed
FROM (
    SELECT EXISTS (
        SELECT FROM job_waiting w WHERE w.site = %(site)s
        ORDER BY w.priority DESC, w.job_id OFFSET %(front)s LIMIT 1
    ) AS unseen OFFSET 0
) AS behind

-- name: pick_classes
-- Goes from class to class of equal jobs by the index, over all that is too much for the pilot in one step: of 100,000
-- jobs that need too much memory it reads one. Then the best of each class that fits, merged. With more classes than
-- it may visit it takes nothing: the best might be in the next. The planner, whatever it believes of the jobs, has one
-- index to choose: that is why max_disk, which equals, is asked for as a range and ordered by.
WITH RECURSIVE class AS (
    SELECT '' AS label, '' AS resource_type, -1 AS core_count, -1 AS min_ram, -1 AS max_walltime, -1 AS max_disk,
        5 AS fits_to, 0 AS number
    UNION ALL
    SELECT n.*, c.number + 1
    FROM class c, LATERAL (
        SELECT w.label, w.resource_type, w.core_count, w.min_ram, w.max_walltime, w.max_disk,
            CASE WHEN w.label <> ALL (%(labels)s::text[]) OR w.resource_type <> %(resource_type)s::text THEN 1
                WHEN w.core_count > %(core_count)s::int THEN 1
                WHEN w.core_count BETWEEN 1 AND %(too_few_cores)s::int THEN 2
                WHEN w.min_ram > %(memory)s::int THEN 2
                WHEN w.max_walltime > %(remaining_time)s::int THEN 3
                WHEN w.max_disk > %(disk)s::int THEN 4
                ELSE 5 END
        FROM job_waiting w
        WHERE w.site = %(site)s
          AND (w.label, w.resource_type, w.core_count, w.min_ram, w.max_walltime, w.max_disk) > (
            c.label, c.resource_type,
            CASE WHEN c.fits_to < 2 THEN 2147483647 ELSE c.core_count END,
            CASE WHEN c.fits_to < 3 THEN 2147483647 ELSE c.min_ram END,
            CASE WHEN c.fits_to < 4 THEN 2147483647 ELSE c.max_walltime END,
            CASE WHEN c.fits_to < 5 THEN 2147483647 ELSE c.max_disk END)
        ORDER BY w.label, w.resource_type, w.core_count, w.min_ram, w.max_walltime, w.max_disk LIMIT 1
    ) AS n
    WHERE c.number < %(classes)s
), best AS MATERIALIZED (
    SELECT b.job_id, b.priority
    FROM class c, LATERAL (
        SELECT w.job_id, w.priority FROM job_waiting w
        WHERE w.site = %(site)s AND w.label = c.label AND w.resource_type = c.resource_type
          AND w.core_count = c.core_count AND w.min_ram = c.min_ram AND w.max_walltime = c.max_walltime
          AND w.max_disk >= c.max_disk AND w.max_disk <= c.max_disk
        ORDER BY w.max_disk, w.priority DESC, w.job_id
        LIMIT %(candidates)s
    ) AS b
    WHERE c.fits_to = 5 AND (SELECT max(number) FROM class) < %(classes)s
    ORDER BY b.priority DESC, b.job_id LIMIT %(candidates)s
), picked AS MATERIALIZED (
    SELECT b.job_id, b.priority
    FROM (SELECT * FROM best ORDER BY priority DESC, job_id LIMIT %(candidates)s) AS b
    CROSS JOIN LATERAL (
        SELECT FROM job WHERE job_id = b.job_id AND state = 'activated' FOR UPDATE SKIP LOCKED) AS j
    ORDER BY b.priority DESC, b.job_id
    LIMIT %(wanted)s
), taken AS (
    DELETE FROM job_waiting WHERE job_id = ANY(ARRAY(SELECT job_id FROM picked))
)
SELECT ARRAY(SELECT job_id FROM picked ORDER BY priority DESC, job_id),
    most.classes >= %(classes)s OR (got.jobs < %(wanted)s AND there.jobs >= %(candidates)s) AS unseen,
    got.jobs < %(wanted)s AND there.jobs > got.jobs AS missed
FROM (SELECT count(*) AS jobs FROM picked) AS got, (SELECT count(*) AS jobs FROM best) AS there,
    (SELECT max(number) AS classes FROM class) AS most

-- name: pick_all
-- Reads all that wait: where there are too many classes, or where too many of the best are locked.
WITH picked AS MATERIALIZED (
    SELECT f.job_id, f.priority
    FROM (
        SELECT w.job_id, w.priority FROM job_waiting w
        WHERE w.site = %(site)s
          AND (%(labels)s::text[] IS NULL OR w.label = ANY (%(labels)s::text[]))
          AND (%(resource_type)s::text IS NULL OR w.resource_type = %(resource_type)s::text)
          AND CASE WHEN w.core_count NOT BETWEEN 1 AND %(too_few_cores)s::int THEN w.core_count END <= %(core_count)s::int
          AND w.min_ram <= %(memory)s::int
          AND w.max_walltime <= %(remaining_time)s::int AND w.max_disk <= %(disk)s::int
        ORDER BY w.priority DESC, w.job_id
    ) AS f
    CROSS JOIN LATERAL (
        SELECT FROM job WHERE job_id = f.job_id AND state = 'activated' FOR UPDATE SKIP LOCKED) AS j
    ORDER BY f.priority DESC, f.job_id
    LIMIT %(wanted)s
), taken AS (
    DELETE FROM job_waiting WHERE job_id = ANY(ARRAY(SELECT job_id FROM picked))
)
SELECT ARRAY(SELECT job_id FROM picked ORDER BY priority DESC, job_id), false AS unseen,
    CASE WHEN (SELECT count(*) FROM picked) >= %(wanted)s THEN false ELSE EXISTS (
        SELECT FROM (
            SELECT w.job_id FROM job_waiting w
            WHERE w.site = %(site)s
              AND (%(labels)s::text[] IS NULL OR w.label = ANY (%(labels)s::text[]))
              AND (%(resource_type)s::text IS NULL OR w.resource_type = %(resource_type)s::text)
              AND CASE WHEN w.core_count NOT BETWEEN 1 AND %(too_few_cores)s::int THEN w.core_count END <= %(core_count)s::int
              AND w.min_ram <= %(memory)s::int
              AND w.max_walltime <= %(remaining_time)s::int AND w.max_disk <= %(disk)s::int
            ORDER BY w.priority DESC, w.job_id
        ) AS f
        WHERE f.job_id NOT IN (SELECT job_id FROM picked)
          AND (SELECT j.state FROM job j WHERE j.job_id = f.job_id) = 'activated'
    ) END AS missed

-- name: seated
-- What the pilots of these places were given last, and whether they hold it still without a word: the job has not moved
-- since. Asked for with the first search, and acted upon by `step` only if it is still so.
SELECT s.place::text, s.job_id, s.version, EXISTS (
    SELECT FROM job j WHERE j.job_id = s.job_id AND j.version = s.version AND j.state = 'sent'
      AND NOT EXISTS (SELECT FROM job_heard h WHERE h.job_id = j.job_id AND h.heard_at > j.state_changed_at OFFSET 0)
    OFFSET 0)
FROM seat s WHERE s.place = ANY (%(places)s::uuid[])

-- name: held_seats
-- Asked only once a claim had to wait.
SELECT place::text FROM seat WHERE place = ANY (%(places)s::uuid[]) AND place <> ALL (ARRAY(
    SELECT place FROM seat WHERE place = ANY (%(places)s::uuid[]) FOR UPDATE SKIP LOCKED))

-- name: give_again
-- The same job for a pilot that asks again before it spoke: nothing moves, but from now on whoever finds that an answer
-- was lost must not take the job from it: another answer may have reached it.
WITH given AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS g (place uuid, job_id bigint, version int, number bigint)
), held AS MATERIALIZED (
    SELECT s.place, g.job_id, g.version, g.number
    FROM given g JOIN seat s ON s.place = g.place
    WHERE s.place = ANY(ARRAY(SELECT place FROM given)) AND s.job_id = g.job_id AND s.version = g.version
    ORDER BY s.place FOR UPDATE OF s
), kept AS (
    UPDATE seat SET cause = NULL WHERE place = ANY(ARRAY(SELECT place FROM held)) AND cause IS NOT NULL
)
SELECT h.number, j.job_id, j.version, j.attempt_nr, j.vo, j.site, j.label, j.priority, j.task_id,
    j.job_definition_id, j.jobset_id, j.name, j.user_name, j.core_count, j.min_ram, j.max_disk, j.max_walltime,
    j.resource_type, coalesce((SELECT spec FROM job_spec WHERE job_id = j.job_id), '{}') AS spec,
    (SELECT coalesce(json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block,
                f.destination, f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq), '[]')
     FROM job_file f WHERE f.job_id = j.job_id) AS files
FROM held h
CROSS JOIN LATERAL (SELECT * FROM job WHERE job_id = h.job_id AND version = h.version OFFSET 0) AS j
ORDER BY h.number

-- name: give_back
-- The step of jobs whose answers reached nobody: they wait again, as `Effects.step` would write it. Not if the pilot
-- asked more than once and was given the same. Those that somebody has locked, or whose seats, are answered without a
-- version, to be given back again: it may be a claim that saw them wait a moment ago and gives nothing, and nobody else
-- would bring them back. One that is not to be reassigned is looked at as early as others, and then when it must be.
WITH given AS (
    SELECT * FROM json_to_recordset(%(rows)s::json) AS g (
        place uuid, cause uuid, job_id bigint, version int, deadline_s float8, stays_s float8, look_s float8)
), locked AS MATERIALIZED (
    SELECT j.job_id, g.place, g.cause, g.look_s, CASE WHEN j.no_reassign THEN g.stays_s ELSE g.deadline_s END AS deadline_s
    FROM given g JOIN job j ON j.job_id = g.job_id
    WHERE j.job_id = ANY(ARRAY(SELECT job_id FROM given)) AND j.version = g.version
      AND NOT EXISTS (SELECT FROM job_heard h WHERE h.job_id = j.job_id AND h.heard_at > j.state_changed_at OFFSET 0)
    FOR UPDATE OF j SKIP LOCKED
), held AS MATERIALIZED (
    SELECT s.place FROM locked l JOIN seat s ON s.place = l.place
    WHERE s.place = ANY(ARRAY(SELECT place FROM locked)) AND s.cause = l.cause
    ORDER BY s.place FOR UPDATE OF s SKIP LOCKED
), left_seats AS (
    DELETE FROM seat WHERE place = ANY(ARRAY(SELECT place FROM held))
), moved AS (
    UPDATE job j
    SET state = 'activated', version = j.version + 1, holder = NULL, node = NULL, pilot = NULL, waits_for = NULL,
        deadline_at = now() + make_interval(secs => l.deadline_s), state_changed_at = now(), modified_at = now()
    FROM locked l
    WHERE j.job_id = l.job_id AND j.job_id = ANY(ARRAY(SELECT job_id FROM locked))
      AND (l.place IS NULL OR l.place IN (SELECT place FROM held))
    RETURNING j.job_id, j.version, j.site, j.vo, j.priority, j.label, j.resource_type, j.min_ram, j.max_disk,
        j.max_walltime, j.core_count, j.task_id, j.user_name, j.is_background, j.is_jedis, l.cause, l.look_s
), of_held AS (
    -- Of a task that was held meanwhile (ADR 0041).
    SELECT job_id, task_id FROM moved
    WHERE is_jedis AND EXISTS (SELECT FROM held_task WHERE task_id = moved.task_id OFFSET 0)
), put_aside AS (
    INSERT INTO job_held (job_id, task_id) SELECT job_id, task_id FROM of_held ON CONFLICT DO NOTHING
), waiting AS (
    INSERT INTO job_waiting (job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count,
                             task_id, user_name, is_background)
    SELECT job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime, core_count, task_id, user_name,
        is_background
    FROM moved WHERE NOT is_jedis OR job_id NOT IN (SELECT job_id FROM of_held)
), sooner AS (
    UPDATE job_deadline d SET deadline_at = now() + make_interval(secs => m.look_s)
    FROM moved m WHERE d.job_id = m.job_id AND d.job_id = ANY(ARRAY(SELECT job_id FROM moved))
      AND d.deadline_at > now() + make_interval(secs => m.look_s)
), noted AS (
    INSERT INTO job_history (job_id, version, transition_id, message_id, service, host)
    SELECT m.job_id, m.version, t.transition_id, m.cause, 'gateway', %(host)s
    FROM moved m, job_transition t
    WHERE t.event = 'undelivered' AND t.source = 'sent'
), counted AS (
    INSERT INTO job_count (state, site, vo, jobs)
    SELECT c.state, m.site, m.vo, sum(c.change)
    FROM moved m, (VALUES ('sent', -1), ('activated', 1)) AS c (state, change)
    GROUP BY c.state, m.site, m.vo
), to_jedi AS (
    INSERT INTO jedi_message (vo, task_id, job_id, version, state, prev, service)
    SELECT vo, task_id, job_id, version, 'activated', 'sent', 'gateway' FROM moved WHERE is_jedis
    RETURNING job_id, seq, vo, task_id, at
), of_jedi AS (
    INSERT INTO jedi_job (job_id, seq, vo, task_id, changed_at) SELECT job_id, seq, vo, task_id, at FROM to_jedi
    ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq, changed_at = excluded.changed_at
)
SELECT job_id, version, cause::text, site, vo, task_id FROM moved
UNION ALL
SELECT g.job_id, NULL, g.cause::text, j.site, j.vo, j.task_id
FROM given g CROSS JOIN LATERAL (
    SELECT * FROM job WHERE job_id = g.job_id AND version = g.version OFFSET 0) AS j
WHERE (g.job_id NOT IN (SELECT job_id FROM locked)
       OR g.place NOT IN (SELECT place FROM held)
           AND EXISTS (SELECT FROM seat s WHERE s.place = g.place AND s.cause = g.cause OFFSET 0))
  AND NOT EXISTS (SELECT FROM job_heard h WHERE h.job_id = j.job_id AND h.heard_at > j.state_changed_at OFFSET 0)

-- name: claim_front
-- Before `front`, and `filled` and `step` behind it: the whole claim of pilots that are alike and hold nothing.
WITH asked AS MATERIALIZED (
    SELECT * FROM json_to_recordset(%(rows)s::json)
        AS s (number bigint, cause uuid, holder text, node text, pilot jsonb, place uuid, event_id uuid)
), seen AS MATERIALIZED (
    SELECT s.place, s.job_id, s.version, EXISTS (SELECT FROM job j WHERE j.job_id = s.job_id AND j.version = s.version
        AND j.state = 'sent'
        AND NOT EXISTS (SELECT FROM job_heard h WHERE h.job_id = j.job_id AND h.heard_at > j.state_changed_at OFFSET 0)
        OFFSET 0) AS holds
    FROM asked a CROSS JOIN LATERAL (SELECT * FROM seat WHERE place = a.place OFFSET 0) AS s
),

-- name: filled
-- Behind `front`: the best for the first who asked.
, given AS (
    SELECT p.job_id, a.number, a.cause, a.holder, a.node, a.pilot, a.place, a.event_id, false AS is_shared,
        s.job_id AS seen_job, s.version AS seen_version
    FROM (SELECT job_id, row_number() OVER (ORDER BY priority DESC, job_id) - 1 AS number FROM picked) AS p
    JOIN asked a ON a.number = p.number
    LEFT JOIN seen s ON s.place = a.place
)

-- name: claim_picked
-- Before `step`: jobs that were picked by searches in the same transaction.
WITH given AS (
    SELECT * FROM json_to_recordset(%(rows)s::json)
        AS s (job_id bigint, cause uuid, holder text, node text, pilot jsonb, number bigint,
              place uuid, is_shared boolean, seen_job bigint, seen_version int, event_id uuid)
)

-- name: step
-- The step of jobs `given`, one a seat: state, holder, deadline, history, counts, event and what JEDI is told, as
-- `Effects.step` would write them (ADR 0016); answers with all that a pilot must know, with the event, and whether the place could be noted.
-- One that could not is not any more as it was seen: its pilot was given something meanwhile.
, moved AS (
    UPDATE job j
    SET state = 'sent', version = j.version + 1, holder = s.holder, node = s.node,
        pilot = coalesce(j.pilot, '{}') || s.pilot, waits_for = NULL,
        deadline_at = now() + make_interval(secs => %(deadline_s)s::float8), state_changed_at = now(), modified_at = now()
    FROM given s
    WHERE j.job_id = s.job_id AND j.job_id = ANY(ARRAY(SELECT job_id FROM given))
    RETURNING j.job_id, j.version, j.attempt_nr, j.vo, j.site, j.label, j.priority, j.task_id, j.job_definition_id,
        j.jobset_id, j.name, j.user_name, j.core_count, j.min_ram, j.max_disk, j.max_walltime, j.resource_type,
        j.is_jedis, s.number, s.cause, s.place, s.is_shared, s.event_id
), seated AS (
    INSERT INTO seat AS s (place, job_id, version, cause)
    SELECT m.place, m.job_id, m.version, CASE WHEN NOT m.is_shared THEN m.cause END
    FROM moved m WHERE m.place IS NOT NULL ORDER BY m.place
    ON CONFLICT (place) DO UPDATE SET job_id = excluded.job_id, version = excluded.version, cause = excluded.cause
    WHERE EXISTS (SELECT FROM given g WHERE g.place = s.place AND g.seen_job = s.job_id AND g.seen_version = s.version)
    RETURNING s.place
), sooner AS (
    UPDATE job_deadline SET deadline_at = now() + make_interval(secs => %(look_s)s::float8)
    WHERE job_id = ANY(ARRAY(SELECT job_id FROM moved))
      AND deadline_at > now() + make_interval(secs => %(look_s)s::float8)
), noted AS (
    INSERT INTO job_history (job_id, version, transition_id, message_id, service, host)
    SELECT m.job_id, m.version, t.transition_id, m.cause, 'gateway', %(host)s
    FROM moved m, job_transition t
    WHERE t.event = 'acquired' AND t.source = 'activated'
), counted AS (
    INSERT INTO job_count (state, site, vo, jobs)
    SELECT c.state, m.site, m.vo, sum(c.change)
    FROM moved m, (VALUES ('activated', -1), ('sent', 1)) AS c (state, change)
    GROUP BY c.state, m.site, m.vo
), to_jedi AS (
    INSERT INTO jedi_message (vo, task_id, job_id, version, state, prev, service)
    SELECT vo, task_id, job_id, version, 'sent', 'activated', 'gateway' FROM moved WHERE is_jedis
    RETURNING job_id, seq, vo, task_id, at
), of_jedi AS (
    INSERT INTO jedi_job (job_id, seq, vo, task_id, changed_at) SELECT job_id, seq, vo, task_id, at FROM to_jedi
    ON CONFLICT (job_id) DO UPDATE SET seq = excluded.seq, changed_at = excluded.changed_at
), said AS MATERIALIZED (
    SELECT m.*, (%(event)s::jsonb || jsonb_build_object('message_id', m.event_id, 'cause', m.cause, 'job_id', m.job_id,
        'version', m.version, 'site', m.site, 'vo', m.vo, 'task_id', m.task_id))::text AS event
    FROM moved m
), told AS (
    INSERT INTO outbox (message_id, exchange, routing_key, body)
    SELECT m.event_id, %(exchange)s, %(routing_key)s, m.event FROM said m
)
SELECT m.number, m.job_id, m.version, m.attempt_nr, m.vo, m.site, m.label, m.priority, m.task_id,
    m.job_definition_id, m.jobset_id, m.name, m.user_name, m.core_count, m.min_ram, m.max_disk, m.max_walltime,
    m.resource_type, coalesce((SELECT spec FROM job_spec WHERE job_id = m.job_id), '{}') AS spec,
    (SELECT coalesce(json_agg(json_build_array(f.seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block,
                f.destination, f.token, f.guid, f.size, f.checksum, f.status) ORDER BY f.seq), '[]')
     FROM job_file f WHERE f.job_id = m.job_id) AS files,
    m.event_id::text, m.event, m.place IS NULL OR m.place IN (SELECT place FROM seated) AS noted
FROM said m
ORDER BY m.number

-- name: paused_sites
SELECT name FROM pause WHERE kind = 'site' AND is_paused AND coalesce(until > now(), true)
