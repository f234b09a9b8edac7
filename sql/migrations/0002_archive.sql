-- Final jobs leave the hot tables for month-partitioned ones, so that cost does not grow with history.

CREATE TABLE job_archive (LIKE job INCLUDING DEFAULTS, PRIMARY KEY (job_id, ended_at)) PARTITION BY RANGE (ended_at);
CREATE INDEX job_archive_task ON job_archive (task_id);
CREATE TABLE job_archive_default PARTITION OF job_archive DEFAULT;
CREATE TABLE job_file_archive (LIKE job_file, ended_at timestamptz NOT NULL, PRIMARY KEY (job_id, seq, ended_at))
    PARTITION BY RANGE (ended_at);
CREATE TABLE job_file_archive_default PARTITION OF job_file_archive DEFAULT;
CREATE TABLE job_spec_archive (job_id bigint NOT NULL, spec jsonb NOT NULL, ended_at timestamptz NOT NULL,
    PRIMARY KEY (job_id, ended_at)) PARTITION BY RANGE (ended_at);
CREATE TABLE job_spec_archive_default PARTITION OF job_spec_archive DEFAULT;

-- Creates next month's partitions before they are needed; called by migrate and by the clock.
CREATE FUNCTION ensure_partitions(day timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    first date := date_trunc('month', day AT TIME ZONE 'UTC');
BEGIN
    FOREACH parent IN ARRAY ARRAY['job_history', 'job_archive', 'job_file_archive', 'job_spec_archive'] LOOP
        EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
            parent || to_char(first, '_YYYY_MM'), parent,
            first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month')::timestamp AT TIME ZONE 'UTC');
    END LOOP;
END $$;
