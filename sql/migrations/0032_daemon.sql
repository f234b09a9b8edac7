-- The duties of the PanDA daemon, for operators (ADR 0051): what there is, what they want of it, and what was run.
CREATE TABLE daemon_duty (
    name text PRIMARY KEY,
    what text NOT NULL,
    every text NOT NULL,
    is_alone boolean NOT NULL,
    is_vital boolean NOT NULL,
    limit_s double precision NOT NULL,
    told_at timestamptz NOT NULL,
    paused_at timestamptz,
    paused_by text,
    paused_why text,
    asked_at timestamptz,
    asked_by text,
    last_host text,
    last_pid integer,
    last_began_at timestamptz,
    last_ended_at timestamptz,
    last_outcome text,
    last_seconds double precision,
    last_error text,
    last_done_at timestamptz,
    next_at timestamptz,
    running_host text,
    running_pid integer,
    running_since timestamptz
);

-- A row a run; of duties that are done every few seconds only what went wrong, and what somebody asked for.
CREATE TABLE daemon_run (
    run_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    began_at timestamptz NOT NULL,
    ended_at timestamptz NOT NULL,
    seconds double precision NOT NULL,
    slices integer NOT NULL,
    outcome text NOT NULL,
    error text,
    asked_at timestamptz
);
CREATE INDEX daemon_run_name ON daemon_run (name, run_id);

CREATE TABLE daemon_hour (
    name text NOT NULL,
    hour timestamptz NOT NULL,
    runs bigint NOT NULL,
    failures bigint NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (hour, name)
);
