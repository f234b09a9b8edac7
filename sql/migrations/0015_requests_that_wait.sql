-- Whether requests of a kind wait, and for how long, is asked when it is busy: then there are many, and of all kinds.
CREATE INDEX request_waiting ON request (routing_key, accepted_at) WHERE routing_key IN ('report.running', 'submit');
