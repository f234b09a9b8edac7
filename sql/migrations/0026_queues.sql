-- Queues as operators see them, and what they paused (ADR 0044).

-- How many messages of a queue were handled since ever, added up by its processes; a process that goes takes nothing away.
CREATE TABLE queue_work (
    queue text PRIMARY KEY,
    handled bigint NOT NULL,
    buried bigint NOT NULL,
    put_off bigint NOT NULL
);

-- The broker asked every few seconds. `ready` is null where there is no such queue, `handled` where others read it. The
-- oldest message that waited then came at `oldest_at`, or before where it `was_there` when we began to look. After two
-- hours the first of each minute are left.
CREATE TABLE queue_sample (
    queue text NOT NULL,
    at timestamptz NOT NULL,
    ready bigint,
    consumers integer NOT NULL,
    handled bigint,
    buried bigint NOT NULL DEFAULT 0,
    put_off bigint NOT NULL DEFAULT 0,
    oldest_at timestamptz,
    was_there boolean NOT NULL DEFAULT false,
    of_minute boolean NOT NULL DEFAULT false,
    PRIMARY KEY (queue, at)
);
CREATE INDEX queue_sample_at ON queue_sample (at);

-- What is paused, and what was: `message_id` names the request that said so last, so that an older one which comes later
-- says nothing any more. A pause ends by itself at `until`.
CREATE TABLE pause (
    kind text NOT NULL CHECK (kind IN ('queue', 'site')),
    name text NOT NULL,
    is_paused boolean NOT NULL,
    actor text NOT NULL,
    reason text NOT NULL,
    since timestamptz NOT NULL DEFAULT now(),
    until timestamptz,
    message_id uuid NOT NULL,
    PRIMARY KEY (kind, name)
);
