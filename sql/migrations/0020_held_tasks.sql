-- Tasks of JEDI's whose jobs no pilot gets (ADR 0041). Everything is added: programs of the release before work on; what
-- they let wait is held a minute later.
CREATE TABLE held_task (
    task_id bigint PRIMARY KEY,
    actor text NOT NULL,
    held_at timestamptz NOT NULL DEFAULT now()
);

-- Jobs that became activated while their task was held: they are here instead of in job_waiting, until they are throttled.
CREATE TABLE job_held (
    job_id bigint PRIMARY KEY,
    task_id bigint NOT NULL
);
