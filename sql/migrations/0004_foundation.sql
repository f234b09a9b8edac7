-- Trouble of one row stays its own; a silence that was ours fails nobody; what grows has an end.
-- Everything is added, nothing taken away: programs of the release before work on with this schema.

-- A message that cannot be published is put off, so that those behind it leave.
ALTER TABLE outbox ADD COLUMN tries smallint NOT NULL DEFAULT 0, ADD COLUMN put_off_until timestamptz,
    ADD COLUMN trouble text;

-- A request that nobody has handled goes out again by itself.
ALTER TABLE request ADD COLUMN sent_at timestamptz NOT NULL DEFAULT now();

-- Why a job waits although its message was handled (an outside system is away...).
ALTER TABLE job ADD COLUMN waits_for text;
ALTER TABLE job_archive ADD COLUMN waits_for text;

-- When a pilot was last heard of, written by whoever acknowledges its report. Narrow, never indexed but by its key.
CREATE TABLE job_heard (
    job_id bigint PRIMARY KEY,
    heard_at timestamptz NOT NULL
) WITH (fillfactor = 50);

-- Where the archive keeps a job: one look-up instead of one a month. It stays when the month is dropped, for a PandaID
-- never lives twice.
CREATE TABLE job_ended (
    job_id bigint PRIMARY KEY,
    ended_at timestamptz NOT NULL
);
INSERT INTO job_ended (job_id, ended_at) SELECT job_id, max(ended_at) FROM job_archive GROUP BY job_id;

-- An appointment that cannot be kept (a job that cannot be archived...) says why, and nobody else waits for it.
-- Appointments of ended jobs are the archive's, by an index of their own: a long archive never delays a deadline.
ALTER TABLE job_deadline ADD COLUMN trouble text, ADD COLUMN ended boolean NOT NULL DEFAULT false;
DROP INDEX job_deadline_at;
CREATE INDEX job_deadline_at ON job_deadline (deadline_at) WHERE NOT ended;
CREATE INDEX job_deadline_ended ON job_deadline (deadline_at) WHERE ended;
CREATE INDEX job_deadline_trouble ON job_deadline (job_id) WHERE trouble IS NOT NULL;

-- Who ticks: the clock, and the gateways that listen to pilots. After a gap nobody is lost for a while.
CREATE TABLE pulse (
    name text PRIMARY KEY,
    ticked_at timestamptz NOT NULL,
    grace_until timestamptz NOT NULL DEFAULT 'epoch'
);
-- For how long the release before was stopped, nobody knows.
INSERT INTO pulse (name, ticked_at) SELECT 'clock', 'epoch' WHERE EXISTS (SELECT FROM job);

-- The processes that run, and what keeps them from working.
CREATE TABLE process (
    service text NOT NULL,
    host text NOT NULL,
    pid integer NOT NULL,
    started_at timestamptz NOT NULL,
    seen_at timestamptz NOT NULL,
    trouble text,
    trouble_since timestamptz,
    PRIMARY KEY (service, host, pid)
);

-- Bindings that programs of this database ever declared; those of none that runs are pruned from the broker.
CREATE TABLE broker_binding (
    queue text NOT NULL,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    retired_at timestamptz,
    PRIMARY KEY (queue, exchange, routing_key)
);
-- The one of the release before that is none any more; a new database never had it.
INSERT INTO broker_binding (queue, exchange, routing_key)
    SELECT 'setupper', 'panda.requests', 'submit' WHERE EXISTS (SELECT FROM job_state);

-- What differs between waiting jobs, class by class: a pilot that nothing fits finds that out without reading them all.
-- What differs most from job to job stands last. The same below a task and below a user, for pilots that ask for one;
-- there the leading columns are one expression, so that no statistics can make the planner take another index.
CREATE INDEX job_waiting_class ON job_waiting
    (site, label, resource_type, core_count, min_ram, max_walltime, max_disk, priority DESC, job_id);
CREATE INDEX job_waiting_task ON job_waiting ((site || '/' || task_id::text),
    label, resource_type, core_count, min_ram, max_walltime, max_disk, priority DESC, job_id);
CREATE INDEX job_waiting_user ON job_waiting ((site || '/' || user_name),
    label, resource_type, core_count, min_ram, max_walltime, max_disk, priority DESC, job_id);

-- Nobody reads these two any more; the programs of the release before still write the first.
ALTER TABLE job_waiting ALTER COLUMN version SET DEFAULT 0;
DROP SEQUENCE sub_block_number;
ALTER TABLE data_block DROP CONSTRAINT data_block_status_check,
    ADD CONSTRAINT data_block_status_check CHECK (status IN ('open', 'closed'));

ALTER TABLE dead_letter ADD COLUMN settled_at timestamptz;
CREATE INDEX dead_letter_settled ON dead_letter (settled_at) WHERE settled_at IS NOT NULL;
CREATE INDEX pilot_report_received ON pilot_report (received_at);
CREATE INDEX data_block_closed ON data_block (closed_at) WHERE closed_at IS NOT NULL;
DROP INDEX data_block_open;
CREATE INDEX data_block_open ON data_block (block_id) WHERE status = 'open';
CREATE INDEX data_block_created ON data_block (created_at) WHERE closed_at IS NULL;
CREATE INDEX data_block_parent ON data_block (parent) WHERE parent <> '';
CREATE INDEX audit_at ON audit (at);
CREATE INDEX worker_last_seen ON worker (last_seen_at);
CREATE INDEX worker_node_last_seen ON worker_node (last_seen_at);
CREATE INDEX cache_file_created ON cache_file (created_at);

-- Tables through which rows run: their dead rows go early, or each look at the front reads through them.
ALTER TABLE outbox SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE request SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE job_waiting SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000,
    autovacuum_vacuum_insert_threshold = -1, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE job_deadline SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0);
ALTER TABLE inbox SET (autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 5000);
ALTER TABLE job_count SET (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000,
    autovacuum_vacuum_cost_delay = 0);
ALTER TABLE job_heard SET (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);

-- Makes the partitions of a month; a table whose default partition holds rows of it is left alone and named.
CREATE OR REPLACE FUNCTION ensure_partitions(day timestamptz) RETURNS void LANGUAGE plpgsql AS $$
DECLARE
    parent text;
    first date := date_trunc('month', day AT TIME ZONE 'UTC');
BEGIN
    FOREACH parent IN ARRAY ARRAY['job_history', 'job_archive', 'job_file_archive', 'job_spec_archive'] LOOP
        BEGIN
            EXECUTE format('CREATE TABLE IF NOT EXISTS %I PARTITION OF %I FOR VALUES FROM (%L) TO (%L)',
                parent || to_char(first, '_YYYY_MM'), parent,
                first::timestamp AT TIME ZONE 'UTC', (first + interval '1 month')::timestamp AT TIME ZONE 'UTC');
        EXCEPTION WHEN check_violation THEN
            RAISE WARNING 'the default partition of % holds rows of %: panda-fsm partitions repair', parent, first;
        END;
    END LOOP;
END $$;

-- Moves rows of a table's default partition into partitions of their months; returns how many.
CREATE FUNCTION repair_partitions(parent text, key text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    spare text := parent || '_default';
    month timestamp;
    name text;
    moved bigint;
    total bigint := 0;
BEGIN
    EXECUTE format('LOCK TABLE %I IN ACCESS EXCLUSIVE MODE', parent);
    FOR month IN EXECUTE format(
        'SELECT DISTINCT date_trunc(''month'', %I AT TIME ZONE ''UTC'') FROM %I ORDER BY 1', key, spare)
    LOOP
        name := parent || to_char(month, '_YYYY_MM');
        EXECUTE format('CREATE TABLE %I (LIKE %I INCLUDING ALL)', name, parent);
        EXECUTE format('WITH gone AS (DELETE FROM %I WHERE %I >= %L AND %I < %L RETURNING *)
            INSERT INTO %I SELECT * FROM gone', spare, key, month AT TIME ZONE 'UTC', key,
            (month + interval '1 month') AT TIME ZONE 'UTC', name);
        GET DIAGNOSTICS moved = ROW_COUNT;
        EXECUTE format('ALTER TABLE %I ATTACH PARTITION %I FOR VALUES FROM (%L) TO (%L)', parent, name,
            month AT TIME ZONE 'UTC', (month + interval '1 month') AT TIME ZONE 'UTC');
        total := total + moved;
    END LOOP;
    RETURN total;
END $$;
