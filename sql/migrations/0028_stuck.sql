-- What the clock found stuck when it last went over all live jobs (ADR 0046): counts by rule and site, and some of the
-- jobs. One row says how far it is: what belongs to the walk before is what people are shown.
CREATE TABLE stuck_walk (
    is_only boolean PRIMARY KEY DEFAULT true CHECK (is_only),
    walk bigint NOT NULL DEFAULT 1,
    after_id bigint NOT NULL DEFAULT 0,
    began_at timestamptz NOT NULL DEFAULT now(),
    ended_at timestamptz
);
INSERT INTO stuck_walk DEFAULT VALUES;

CREATE TABLE stuck_site (
    walk bigint NOT NULL,
    rule text NOT NULL,
    site text NOT NULL,
    jobs bigint NOT NULL,
    oldest_at timestamptz NOT NULL,
    PRIMARY KEY (walk, rule, site)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

CREATE TABLE stuck_job (
    walk bigint NOT NULL,
    rule text NOT NULL,
    job_id bigint NOT NULL,
    state text NOT NULL,
    site text NOT NULL,
    since timestamptz NOT NULL,
    PRIMARY KEY (walk, rule, job_id)
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);

-- Messages about a job that came late or again and changed nothing, by what they said: a row for each such thing.
CREATE TABLE job_ignored (
    job_id bigint NOT NULL,
    what text NOT NULL,
    times integer NOT NULL,
    last_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (job_id, what)
);
CREATE INDEX job_ignored_last ON job_ignored (last_at);

-- The PandaIDs that a row of the audit is about, from the first to the last; NULL: it is not about jobs.
CREATE FUNCTION audit_jobs(object text) RETURNS int8range LANGUAGE sql IMMUTABLE PARALLEL SAFE AS $$
    SELECT CASE
        WHEN object ~ '^job [0-9]{1,18}$'
            THEN int8range(substr(object, 5)::bigint, substr(object, 5)::bigint, '[]')
        WHEN object ~ '^jobs [0-9]{1,18}-[0-9]{1,18}$'
            THEN int8range(least(split_part(substr(object, 6), '-', 1)::bigint, split_part(substr(object, 6), '-', 2)::bigint),
                split_part(substr(object, 6), '-', 2)::bigint, '[]')
    END
$$;
