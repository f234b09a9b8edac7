-- Requests of pilots for jobs, as gateways counted them: appended, and gone once JEDI was told (each minute).
CREATE TABLE site_request (
    site text NOT NULL,
    getjob integer NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
