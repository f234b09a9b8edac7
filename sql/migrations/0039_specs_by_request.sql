-- Live jobs are found by the request that they are of, where they name one.
CREATE INDEX job_spec_request ON job_spec ((spec ->> 'req_id')) WHERE spec ? 'req_id';
