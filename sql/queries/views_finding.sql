-- Finding a thing by what an operator has of it. Each look is led by an index, or through a table of few rows.

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

-- name: message
-- The id tells when the message was made; a step that it caused came soon after.
(SELECT 'job', job_id::text, 'made a step by this message' FROM job_history
WHERE at >= %(sent_at)s - interval '1 minute' AND at < %(sent_at)s + interval '2 minutes'
    AND message_id = %(message_id)s::uuid LIMIT 5)
UNION ALL
SELECT 'message', message_id::text, 'waits in the outbox as ' || routing_key FROM outbox
WHERE message_id = %(message_id)s::uuid
UNION ALL
SELECT 'message', message_id::text, 'is kept as a request: ' || routing_key FROM request
WHERE message_id = %(message_id)s::uuid

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
