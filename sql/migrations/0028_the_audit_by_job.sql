-- A job is asked of rows that name it, or a range with it.
CREATE INDEX audit_of_job ON audit USING gist (audit_jobs(object)) WHERE object LIKE 'job%';
