-- What JEDI asks by message (ADR 0038). Everything is added: programs of the release before work on.

-- What a request was answered: the same again, by the same sender, is answered the same, and nothing is done. `answer` is
-- the body of the reply, whether somebody waited for it or not.
CREATE TABLE jedi_request (
    actor text NOT NULL,
    msg_id text NOT NULL,
    request_hash text NOT NULL,
    answer text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (actor, msg_id)
);
CREATE INDEX jedi_request_created ON jedi_request (created_at);

-- Blocks of PandaIDs that were granted, for ever: nobody else may submit a job with one of them.
CREATE TABLE jedi_grant (
    first bigint PRIMARY KEY,
    last bigint NOT NULL,
    actor text NOT NULL,
    granted_at timestamptz NOT NULL DEFAULT now(),
    CHECK (last >= first)
);

-- Which job does again what another one did, or merges what it made. `origin_job_id`: the first of the line.
CREATE TABLE job_retry (
    old_job_id bigint NOT NULL,
    new_job_id bigint NOT NULL,
    origin_job_id bigint NOT NULL,
    relation text NOT NULL,
    PRIMARY KEY (new_job_id, old_job_id)
);
CREATE INDEX job_retry_old ON job_retry (old_job_id);
