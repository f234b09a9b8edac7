-- Finding a thing by what an operator has of it. Each look is led by an index, or through a table of few rows. Of jobs
-- that have something in common the first few are told.

-- name: number
SELECT 'job', job_id::text, state FROM job WHERE job_id = %(number)s
UNION ALL
SELECT 'job', a.job_id::text, a.state || ', archived'
FROM job_ended e JOIN job_archive a ON a.job_id = e.job_id AND a.ended_at = e.ended_at WHERE e.job_id = %(number)s
UNION ALL
(SELECT 'task', task_id::text, 'has jobs' FROM job WHERE task_id = %(number)s LIMIT 1)
UNION ALL
(SELECT 'task', task_id::text, 'has jobs' FROM job_archive WHERE task_id = %(number)s LIMIT 1)
UNION ALL
SELECT 'dead letter', dead_letter_id::text, status || ', of ' || queue FROM dead_letter
WHERE dead_letter_id = %(number)s
UNION ALL
(SELECT 'worker', worker_id, site FROM worker WHERE worker_id = %(number)s::text LIMIT 5)
UNION ALL
(SELECT 'job', job_id::text, state || ', of this jobset' FROM job
WHERE jobset_id = %(number)s AND %(number)s > 0 AND job_id <> %(number)s LIMIT %(some)s)
UNION ALL
(SELECT 'job', s.job_id::text, j.state || ', of this request'
FROM job_spec s JOIN job j ON j.job_id = s.job_id
WHERE s.spec ? 'req_id' AND s.spec ->> 'req_id' = %(number)s::text LIMIT %(some)s)

-- name: message
-- The id tells when the message was made; a step that it caused came soon after. Operations have such ids, too.
(SELECT 'job', job_id::text, 'made a step by this message' FROM job_history
WHERE at >= %(sent_at)s::timestamptz - interval '1 minute' AND at < %(sent_at)s::timestamptz + interval '2 minutes'
    AND message_id = %(message_id)s::uuid LIMIT 5)
UNION ALL
SELECT 'message', message_id::text, 'waits in the outbox as ' || routing_key FROM outbox
WHERE message_id = %(message_id)s::uuid
UNION ALL
SELECT 'message', message_id::text, 'is kept as a request: ' || routing_key FROM request
WHERE message_id = %(message_id)s::uuid
UNION ALL
SELECT 'operation', operation_id::text, act || ', ' || status FROM operation WHERE operation_id = %(message_id)s::uuid

-- name: name
(SELECT 'user', user_name, 'has jobs' FROM job WHERE user_name = %(text)s LIMIT 1)
UNION ALL
(SELECT 'user', user_name, 'has jobs' FROM job_archive WHERE user_name = %(text)s LIMIT 1)
UNION ALL
(SELECT 'worker', worker_id, site FROM worker WHERE worker_id = %(text)s LIMIT 5)
UNION ALL
(SELECT 'site', site, 'has jobs' FROM job_count WHERE site = %(text)s LIMIT 1)
UNION ALL
(SELECT 'queue', queue, 'is served' FROM process WHERE queue = %(text)s LIMIT 1)
UNION ALL
(SELECT 'job', job_id::text, state || ', has this name' FROM job WHERE name = %(text)s LIMIT %(some)s)
UNION ALL
SELECT 'block', name, kind || ', ' || status FROM data_block WHERE name = %(text)s
UNION ALL
(SELECT 'job', f.job_id::text, j.state || ', has a file in this block'
FROM data_block b JOIN job_file f ON f.block_id = b.block_id JOIN job j ON j.job_id = f.job_id
WHERE b.name = %(text)s LIMIT %(some)s)
UNION ALL
SELECT 'sandbox', name, 'uploaded ' || to_char(uploaded_at AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI') || ' UTC'
FROM cache_file WHERE name = %(text)s
UNION ALL
(SELECT 'node', host_name, 'of ' || site FROM worker_node WHERE host_name = %(text)s LIMIT %(some)s)
UNION ALL
(SELECT 'cause', fingerprint, 'of open dead letters of ' || queue FROM dead_letter
WHERE status = 'open' AND fingerprint = %(text)s LIMIT 1)
