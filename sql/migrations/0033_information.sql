-- The information service (ADR 0052): what is known of queues, sites, storages and the network, who said it, who changed
-- what when, and what of a source could not be used. Everything is added: programs of the release before work on.

-- What was said last of each thing. `facts` is what this system uses, `pilots` what pilots read as it came; both NULL
-- once its source has it no more. `override` is what an operator set above it. `version`: of the change that it is of.
CREATE TABLE information (
    kind text NOT NULL,
    name text NOT NULL,
    source text NOT NULL,
    facts jsonb,
    pilots jsonb,
    digest text NOT NULL,
    override jsonb,
    version bigint NOT NULL,
    changed_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (kind, name)
);
CREATE INDEX information_changed ON information (version);

-- One row: whoever changes something holds it until he commits, so versions become visible in their order.
CREATE TABLE information_version (
    is_the_one boolean PRIMARY KEY DEFAULT true CHECK (is_the_one),
    version bigint NOT NULL
);
INSERT INTO information_version (version) VALUES (0);

CREATE TABLE information_history (
    history_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT now(),
    version bigint NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    source text NOT NULL,
    actor text NOT NULL,
    why text NOT NULL,
    before jsonb,
    after jsonb
);
CREATE INDEX information_history_of ON information_history (kind, name, history_id);
CREATE INDEX information_history_at ON information_history (at);

-- Where it comes from. `etag` and `modified` are sent back to be told that nothing is new; `reading` is that of the
-- program that read it; `allow_removals` who said that it may take away as much as it wants, the next time.
CREATE TABLE information_source (
    name text PRIMARY KEY,
    url text NOT NULL,
    etag text,
    modified text,
    reading int NOT NULL DEFAULT 0,
    asked_at timestamptz,
    good_at timestamptz,
    changed_at timestamptz,
    trouble text,
    trouble_since timestamptz,
    allow_removals text
);

CREATE TABLE information_rejected (
    source text NOT NULL,
    kind text NOT NULL,
    name text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (source, kind, name)
);
