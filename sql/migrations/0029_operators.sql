-- What operators do from the dashboards (ADR 0047). Everything is added: programs of the release before work on.

-- Keys that all gateways share: with `forms` they seal the forms of a browser's session.
CREATE TABLE shared_key (
    name text PRIMARY KEY,
    key bytea NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);
