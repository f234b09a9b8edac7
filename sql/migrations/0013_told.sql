-- What was said of a job last, of each thing that may be said again and again: an older message that comes later says
-- nothing any more. Message ids are ordered by time.
CREATE TABLE job_told (
    job_id bigint NOT NULL,
    what text NOT NULL,
    message_id uuid NOT NULL,
    PRIMARY KEY (job_id, what)
);
