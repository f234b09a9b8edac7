-- Live jobs, their files and blocks, history, messages in flight. Times are timestamptz in UTC.

CREATE TABLE job_state (
    state text PRIMARY KEY,
    final boolean NOT NULL
);

-- The lifecycle table of panda_fsm/lifecycle.py; `migrate` keeps it equal. Rows are never deleted: history refers to them.
CREATE TABLE job_transition (
    transition_id smallint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event text NOT NULL,
    source text REFERENCES job_state,
    destination text NOT NULL REFERENCES job_state,
    service text NOT NULL,
    UNIQUE NULLS NOT DISTINCT (event, source, destination)
);

-- The gateway takes PandaIDs in blocks of this increment; a value names the first id of a block.
CREATE SEQUENCE job_id_block INCREMENT BY 1000 START WITH 1001 MINVALUE 1;
CREATE SEQUENCE job_set_id START WITH 1;
CREATE SEQUENCE sub_block_number MAXVALUE 9999999 CYCLE;

-- Hot columns only. No index on what changes: the states that are searched have narrow tables of their own.
CREATE TABLE job (
    job_id bigint PRIMARY KEY,
    state text NOT NULL,
    version integer NOT NULL,
    attempt_nr smallint NOT NULL,
    vo text NOT NULL,
    site text NOT NULL,
    label text NOT NULL,
    priority integer NOT NULL,
    task_id bigint NOT NULL,
    job_definition_id bigint NOT NULL,
    jobset_id bigint NOT NULL,
    name text NOT NULL,
    owner text NOT NULL,
    user_name text NOT NULL,
    core_count integer NOT NULL,
    min_ram integer NOT NULL,
    max_disk integer NOT NULL,
    max_walltime integer NOT NULL,
    resource_type text NOT NULL,
    destination text NOT NULL,
    holder text,
    node text,
    command text,
    verdict text CHECK (verdict IN ('finished', 'failed', 'cancelled')),
    has_report boolean NOT NULL DEFAULT false,
    errors jsonb,
    pilot jsonb,
    created_at timestamptz NOT NULL DEFAULT now(),
    modified_at timestamptz NOT NULL DEFAULT now(),
    state_changed_at timestamptz NOT NULL DEFAULT now(),
    deadline_at timestamptz NOT NULL,
    started_at timestamptz,
    ended_at timestamptz
) WITH (fillfactor = 60);

-- Never updated, so it costs no update its page.
CREATE INDEX job_task ON job (task_id);

CREATE TABLE job_spec (
    job_id bigint PRIMARY KEY,
    spec jsonb NOT NULL
);

-- The activated jobs, in the order they are handed out: a claim deletes its row, so the index stays short.
CREATE TABLE job_waiting (
    job_id bigint PRIMARY KEY,
    site text NOT NULL,
    priority integer NOT NULL,
    label text NOT NULL,
    resource_type text NOT NULL,
    min_ram integer NOT NULL,
    max_disk integer NOT NULL,
    max_walltime integer NOT NULL,
    core_count integer NOT NULL,
    task_id bigint NOT NULL,
    user_name text NOT NULL,
    version integer NOT NULL
);
CREATE INDEX job_waiting_order ON job_waiting (site, priority DESC, job_id);

-- One row per job: when to look at it again. Never later than job.deadline_at, often earlier: the clock then puts it
-- off. So a transition writes here only when its deadline is nearer, and a heartbeat never does.
CREATE TABLE job_deadline (
    job_id bigint PRIMARY KEY,
    deadline_at timestamptz NOT NULL
);
CREATE INDEX job_deadline_at ON job_deadline (deadline_at);

CREATE TABLE data_block (
    block_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    name text NOT NULL UNIQUE,
    kind text NOT NULL CHECK (kind IN ('dispatch', 'destination', 'sub')),
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'closed', 'failed')),
    parent text,
    vo text NOT NULL DEFAULT '',
    task_id bigint NOT NULL DEFAULT 0,
    source text NOT NULL DEFAULT '',
    destination text NOT NULL DEFAULT '',
    created_at timestamptz NOT NULL DEFAULT now(),
    closed_at timestamptz
);

CREATE INDEX data_block_open ON data_block (kind) WHERE status = 'open';

CREATE TABLE job_file (
    job_id bigint NOT NULL,
    seq smallint NOT NULL,
    type text NOT NULL,
    lfn text NOT NULL,
    scope text NOT NULL,
    dataset text NOT NULL,
    destination_block text NOT NULL,
    destination text NOT NULL,
    token text NOT NULL,
    guid text NOT NULL,
    size bigint NOT NULL,
    checksum text NOT NULL,
    status text NOT NULL,
    block_id bigint,
    PRIMARY KEY (job_id, seq)
) WITH (fillfactor = 70);
CREATE INDEX job_file_block ON job_file (block_id) WHERE block_id IS NOT NULL;
-- What the Closer asks: is any file of this block still unknown?
CREATE INDEX job_file_unknown ON job_file (block_id) WHERE status = 'unknown' AND block_id IS NOT NULL;

CREATE TABLE pilot_report (
    job_id bigint NOT NULL,
    attempt_nr smallint NOT NULL,
    state text NOT NULL,
    output_report text,
    attributes jsonb NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, attempt_nr)
);

-- Every transition with its cause. (job_id, version) is unique by the compare-and-set on job.
CREATE TABLE job_history (
    job_id bigint NOT NULL,
    version integer NOT NULL,
    transition_id smallint NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    message_id uuid,
    service text NOT NULL,
    host text NOT NULL,
    detail text,
    PRIMARY KEY (job_id, version, at)
) PARTITION BY RANGE (at);
CREATE TABLE job_history_default PARTITION OF job_history DEFAULT;

-- One check a statement, not one a row as a foreign key would (ADR 0004): an illegal step is refused here too.
-- A window instead of a self-join: plpgsql keeps the plan of a session's first batch, and for one row that is a loop.
CREATE FUNCTION job_history_is_legal() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF EXISTS (
        SELECT FROM (
            SELECT t.transition_id, t.source, lag(t.destination) OVER steps AS before,
                   a.version - lag(a.version) OVER steps AS grown
            FROM added a LEFT JOIN job_transition t USING (transition_id)
            WINDOW steps AS (PARTITION BY a.job_id ORDER BY a.version)
        ) AS step
        WHERE transition_id IS NULL OR (grown = 1 AND source IS DISTINCT FROM before)
    ) THEN
        RAISE check_violation
            USING MESSAGE = 'job_history: a step that is not in job_transition, or does not follow the last one';
    END IF;
    RETURN NULL;
END $$;
CREATE TRIGGER job_history_is_legal AFTER INSERT ON job_history
    REFERENCING NEW TABLE AS added FOR EACH STATEMENT EXECUTE FUNCTION job_history_is_legal();

CREATE TABLE outbox (
    message_id uuid PRIMARY KEY,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    body text NOT NULL,
    headers jsonb,
    created_at timestamptz NOT NULL DEFAULT now()
);

-- Messages that create something and so cannot be recognised by the state of what they act on; kept 7 days.
CREATE TABLE inbox (
    message_id uuid PRIMARY KEY,
    received_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX inbox_received_at ON inbox (received_at);

CREATE TABLE dead_letter (
    dead_letter_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    queue text NOT NULL,
    exchange text NOT NULL,
    routing_key text NOT NULL,
    payload bytea NOT NULL,
    headers jsonb NOT NULL,
    reason text NOT NULL,
    error text,
    fingerprint text NOT NULL,
    status text NOT NULL DEFAULT 'open' CHECK (status IN ('open', 'replayed', 'discarded'))
);
CREATE INDEX dead_letter_open ON dead_letter (fingerprint, at) WHERE status = 'open';

CREATE TABLE audit (
    audit_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    actor text NOT NULL,
    action text NOT NULL,
    object text NOT NULL,
    detail jsonb
);

-- Live and final jobs per state, site and VO: changes are appended and folded by the clock, so no row is hot.
CREATE TABLE job_count (
    state text NOT NULL,
    site text NOT NULL,
    vo text NOT NULL,
    jobs bigint NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);

CREATE TABLE cache_file (
    name text PRIMARY KEY,
    owner text NOT NULL,
    size bigint NOT NULL,
    checksum bigint NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX cache_file_content ON cache_file (size, checksum);

CREATE TABLE worker (
    harvester_id text NOT NULL,
    worker_id text NOT NULL,
    site text NOT NULL DEFAULT '',
    node text NOT NULL DEFAULT '',
    status text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (harvester_id, worker_id)
);

CREATE TABLE worker_node (
    site text NOT NULL,
    host_name text NOT NULL,
    description jsonb NOT NULL,
    last_seen_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (site, host_name)
);
