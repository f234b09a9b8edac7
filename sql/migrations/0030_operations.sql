-- One act on all jobs that a filter finds, worked off by the clock in slices (ADR 0047). `cursor` is the last job that was
-- looked at, `last_job_id` the last that was there when it was asked for: later ones are not meant. `vos`: where the actor
-- operates the system, '' for everywhere. `total`: so many were eligible then, or more where `is_at_least` says so.
CREATE TABLE operation (
    operation_id uuid PRIMARY KEY,
    actor text NOT NULL,
    actor_name text NOT NULL,
    act text NOT NULL,
    filter jsonb NOT NULL,
    wishes jsonb NOT NULL,
    reason text NOT NULL,
    vos text[] NOT NULL,
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'done', 'cancelled', 'failed')),
    total bigint NOT NULL,
    is_at_least boolean NOT NULL,
    done bigint NOT NULL DEFAULT 0,
    skipped bigint NOT NULL DEFAULT 0,
    why_not jsonb NOT NULL DEFAULT '{}',
    cursor bigint NOT NULL DEFAULT 0,
    last_job_id bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    worked_at timestamptz NOT NULL DEFAULT now(),
    finished_at timestamptz,
    cancelled_by text,
    trouble text
);
CREATE INDEX operation_running ON operation (worked_at) WHERE status = 'running';
CREATE INDEX operation_created ON operation (created_at, operation_id);
