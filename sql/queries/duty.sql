-- What the duties of the daemon share.

-- name: be_known
SELECT set_config('application_name', %(name)s, false)

-- name: begin
-- Until `end`, or until the connection ends. A clock of the release before holds the same lock in its transactions.
SELECT set_config('application_name', %(name)s, false), pg_try_advisory_lock(7237128, hashtext(%(key)s))

-- name: end
SELECT pg_advisory_unlock(7237128, hashtext(%(key)s))

-- name: quarantine
UPDATE job_deadline d SET deadline_at = now() + interval '1 hour', trouble = r.trouble
FROM unnest(%(job_ids)s::bigint[], %(reasons)s::text[]) AS r(job_id, trouble) WHERE d.job_id = r.job_id

-- name: look_again
-- Jobs that somebody holds: next time, and not first, for they may be held for long. Earlier than need be is harmless.
UPDATE job_deadline d SET deadline_at = now() + make_interval(secs => %(seconds)s)
FROM job j WHERE j.job_id = d.job_id AND d.job_id = ANY(%(job_ids)s)

-- name: drop_vanished
DELETE FROM job_deadline d
WHERE d.job_id = ANY(%(job_ids)s) AND NOT EXISTS (SELECT FROM job j WHERE j.job_id = d.job_id)
