-- Live jobs are found by their names and jobsets. Neither changes, so that steps stay as cheap as they were (ADR 0005).
CREATE INDEX job_name ON job USING hash (name);
CREATE INDEX job_jobset ON job (jobset_id);
