-- Looking back: jobs of a task, of a user and of a time are found by an index, live or archived, and what a payload did
-- while it ran is kept apart from the hot rows.

-- While these are built the archive takes no jobs, and the clock holds some that have ended: hence no lock of live jobs
-- here. The counts of a task come from its index alone.
CREATE INDEX job_archive_task_ended ON job_archive (task_id, ended_at, job_id) INCLUDE (state);
CREATE INDEX job_archive_user ON job_archive (user_name, ended_at, job_id);
CREATE INDEX job_archive_ended ON job_archive (ended_at, job_id);

-- One row a job and ten minutes at most, from heartbeats that say how the payload does. `slot` is when those began.
CREATE TABLE job_sample (
    job_id bigint NOT NULL,
    slot timestamptz NOT NULL,
    at timestamptz NOT NULL DEFAULT now(),
    cpu_consumption_time bigint,
    max_rss bigint,
    max_pss bigint,
    n_events bigint,
    tot_rbytes bigint,
    tot_wbytes bigint,
    PRIMARY KEY (job_id, slot)
) PARTITION BY RANGE (slot);
CREATE TABLE job_sample_default PARTITION OF job_sample DEFAULT;

-- What pilots in debug mode show of their jobs, or what a command printed: the last of it.
CREATE TABLE job_stdout (
    job_id bigint PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    stdout text NOT NULL
);
CREATE INDEX job_stdout_at ON job_stdout (at);

-- The same as before, with job_sample.
CREATE OR REPLACE FUNCTION ensure_partitions(day timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    first date := date_trunc('month', day AT TIME ZONE 'UTC');
BEGIN
    FOREACH parent IN ARRAY ARRAY['job_history', 'job_archive', 'job_file_archive', 'job_spec_archive', 'job_sample'] LOOP
        BEGIN
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(first, '_YYYY_MM'), parent,
                first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month')::timestamp AT TIME ZONE 'UTC');
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'the default partition of % holds rows of %: panda-fsm partitions repair', parent, first;
        END;
    END LOOP;
END $$;
