-- What the outside was told is accepted, until a service has handled it: an emptied broker costs time, not requests.
CREATE TABLE request (
    message_id uuid PRIMARY KEY,
    routing_key text NOT NULL,
    body text NOT NULL,
    accepted_at timestamptz NOT NULL DEFAULT now()
);
