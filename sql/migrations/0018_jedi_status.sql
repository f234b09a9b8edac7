-- What JEDI is to be told, in the order in which it is told it: written with what it tells, in one transaction, while the
-- job is locked. So the numbers of a job grow in the order of its steps (ADR 0037).
CREATE TABLE jedi_message (
    seq bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    msg_id uuid NOT NULL DEFAULT gen_random_uuid(),
    kind text NOT NULL DEFAULT 'job_status',
    vo text NOT NULL,
    task_id bigint NOT NULL,
    job_id bigint,
    version integer,
    state text,
    prev text,
    service text NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    body jsonb
);

-- Of each job of JEDI's the number of what was said of it last: a replay tells its present state with it.
CREATE TABLE jedi_job (
    job_id bigint PRIMARY KEY,
    seq bigint NOT NULL,
    vo text NOT NULL,
    task_id bigint NOT NULL,
    changed_at timestamptz NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX jedi_job_seq ON jedi_job (seq);
