-- Jobs that wait for what another job makes: the build job of their submission.

CREATE TABLE job_upstream (
    job_id bigint NOT NULL,
    upstream_id bigint NOT NULL,
    PRIMARY KEY (job_id, upstream_id)
);
CREATE INDEX job_upstream_upstream ON job_upstream (upstream_id);
