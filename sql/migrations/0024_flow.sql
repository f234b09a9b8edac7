-- What operators look at (ADR 0043): counted once from job_history by the clock, and of pilots' asks by gateways.

-- Steps by time: each step is counted once in each span (10 s of all sites; minutes and hours of all and of each). `site`
-- is '' for all. `bucket` says how long after the job's step before it came: up to 2 ^ (bucket / 2) ms; -1: it was the first.
CREATE TABLE transition_count (
    site text NOT NULL,
    span smallint NOT NULL,
    slot timestamptz NOT NULL,
    transition_id smallint NOT NULL,
    bucket smallint NOT NULL,
    jobs bigint NOT NULL,
    seconds double precision NOT NULL,
    PRIMARY KEY (site, span, slot, transition_id, bucket)
) WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
CREATE INDEX transition_count_slot ON transition_count (span, slot);

-- Up to where history is counted. One row, moved in the transaction that counts.
CREATE TABLE history_counted (
    is_it boolean PRIMARY KEY DEFAULT true CHECK (is_it),
    until timestamptz NOT NULL
);
INSERT INTO history_counted (until) VALUES (now());

-- How jobs ended at a site, by minutes and hours, and on a worker node, by ten minutes. `waited_s`: of those given to
-- pilots, in activated.
CREATE TABLE site_ended (
    site text NOT NULL,
    span smallint NOT NULL,
    slot timestamptz NOT NULL,
    finished integer NOT NULL,
    failed integer NOT NULL,
    stopped integer NOT NULL,
    given integer NOT NULL,
    waited_s double precision NOT NULL,
    PRIMARY KEY (site, span, slot)
) WITH (fillfactor = 70);
CREATE INDEX site_ended_slot ON site_ended (span, slot);
CREATE TABLE node_ended (
    site text NOT NULL,
    slot timestamptz NOT NULL,
    node text NOT NULL,
    finished integer NOT NULL,
    failed integer NOT NULL,
    PRIMARY KEY (site, slot, node)
) WITH (fillfactor = 70);
CREATE INDEX node_ended_slot ON node_ended (slot);

-- Errors of jobs that ended badly, by hours. A job with two errors is counted with each. The sample is of the last one.
CREATE TABLE error_count (
    hour timestamptz NOT NULL,
    vo text NOT NULL,
    site text NOT NULL,
    component text NOT NULL,
    code bigint NOT NULL,
    jobs integer NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    sample text NOT NULL,
    sample_job bigint NOT NULL,
    PRIMARY KEY (hour, vo, site, component, code)
) WITH (fillfactor = 70);

-- What pilots asked and were answered at a site, by minutes; and what the last of them could take, by equal filters.
CREATE TABLE site_asked (
    site text NOT NULL,
    slot timestamptz NOT NULL,
    asks integer NOT NULL,
    jobs integer NOT NULL,
    empty integer NOT NULL,
    PRIMARY KEY (site, slot)
) WITH (fillfactor = 70);
CREATE INDEX site_asked_slot ON site_asked (slot);
CREATE TABLE pilot_ask (
    site text NOT NULL,
    fingerprint uuid NOT NULL,
    filters jsonb NOT NULL,
    last_at timestamptz NOT NULL,
    asks bigint NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (site, fingerprint)
) WITH (fillfactor = 50);
