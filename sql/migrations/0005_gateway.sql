-- A gateway that takes what comes. Everything is added, nothing taken away: programs of the release before work on.

-- The seat ------------------------------------------------------------------------------------------------------------

-- The nodes of pilots that were given a job and never spoke of it; null: there was none.
ALTER TABLE job ADD COLUMN left_by text[];
ALTER TABLE job_archive ADD COLUMN left_by text[];

-- What tells a pilot from all others, hashed, and what it was given last: while the job has not moved since, and its
-- pilot was not heard, it is given the same again. `version` is the job's when it was given, `cause` names the request
-- that was answered with it, if it was one: then that answer alone decides whether the job reached anybody. A row goes
-- with its job to the archive, if the pilot has not been given another one before.
CREATE TABLE seat (
    place uuid PRIMARY KEY,
    job_id bigint NOT NULL,
    version integer NOT NULL,
    cause uuid
) WITH (autovacuum_vacuum_scale_factor = 0.05, autovacuum_vacuum_threshold = 2000);
CREATE INDEX seat_job ON seat (job_id);

-- Files, health, idempotency ------------------------------------------------------------------------------------------

-- What a sandbox holds, computed by the gateway that received it; null: recorded by the release before, which took the
-- client's word for the checksum. `created_at` is when somebody last wanted it, `uploaded_at` when its content came.
ALTER TABLE cache_file ADD COLUMN digest text, ADD COLUMN uploaded_at timestamptz NOT NULL DEFAULT now();
UPDATE cache_file SET uploaded_at = created_at;
CREATE INDEX cache_file_owner ON cache_file (owner, size, checksum);

-- What was answered to requests that carried a key: the same key from the same caller gets the same answer.
CREATE TABLE idempotency (
    owner text NOT NULL,
    key text NOT NULL,
    request_hash text NOT NULL,
    answer text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (owner, key)
);
CREATE INDEX idempotency_created ON idempotency (created_at);

-- Requests without a key that are kept while nobody knows yet whether their answer reached the client. The row goes
-- with the answer; one that stays, or whose client hung up (`is_lost`), belongs to the same request sent again.
CREATE TABLE unanswered (
    request_id uuid PRIMARY KEY,
    owner text NOT NULL,
    request_hash text NOT NULL,
    answer text NOT NULL,
    is_lost boolean NOT NULL DEFAULT false,
    kept_at timestamptz NOT NULL DEFAULT clock_timestamp()
) WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 1000);
CREATE INDEX unanswered_request ON unanswered (request_hash);
CREATE INDEX unanswered_kept ON unanswered (kept_at);
