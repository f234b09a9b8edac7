-- What is known of queues, sites, storages and the network, and who said it.

-- name: version
SELECT version FROM information_version

-- name: changed_since
-- What pilots read only for those who serve pilots.
SELECT kind, name, facts, CASE WHEN %(for_pilots)s THEN pilots END, override FROM information WHERE version > %(version)s

-- name: be_the_one
-- Until the transaction ends nobody else changes anything.
INSERT INTO information_version AS v (version) VALUES (0)
ON CONFLICT (is_the_one) DO UPDATE SET version = v.version RETURNING version

-- name: count
UPDATE information_version SET version = version + 1 RETURNING version

-- name: tell
SELECT pg_notify('panda_information', %(version)s::text)

-- name: held
SELECT kind, name, source, facts, digest FROM information WHERE facts IS NOT NULL

-- name: as_it_was
SELECT i.kind, i.name, i.facts, i.pilots FROM information i
JOIN unnest(%(kinds)s::text[], %(names)s::text[]) AS k (kind, name) ON i.kind = k.kind AND i.name = k.name
WHERE i.facts IS NOT NULL

-- name: put
-- What an operator set stays above it.
INSERT INTO information AS i (kind, name, source, facts, pilots, digest, version)
SELECT kind, name, %(source)s, facts, pilots, digest, %(version)s
FROM jsonb_to_recordset(%(rows)s) AS r (kind text, name text, facts jsonb, pilots jsonb, digest text)
ON CONFLICT (kind, name) DO UPDATE
SET source = excluded.source, facts = excluded.facts, pilots = excluded.pilots, digest = excluded.digest,
    version = excluded.version, changed_at = now()

-- name: remove
UPDATE information i SET facts = NULL, pilots = NULL, digest = '', version = %(version)s, changed_at = now()
FROM unnest(%(kinds)s::text[], %(names)s::text[]) AS k (kind, name) WHERE i.kind = k.kind AND i.name = k.name

-- name: write_down
INSERT INTO information_history (version, kind, name, source, actor, why, before, after)
SELECT %(version)s, kind, name, %(source)s, %(actor)s, %(why)s, before, after
FROM jsonb_to_recordset(%(rows)s) AS r (kind text, name text, before jsonb, after jsonb)

-- name: reject
INSERT INTO information_rejected AS j (source, kind, name, reason)
SELECT %(source)s, kind, name, reason FROM jsonb_to_recordset(%(rows)s) AS r (kind text, name text, reason text)
ON CONFLICT (source, kind, name) DO UPDATE
SET reason = excluded.reason, since = CASE WHEN j.reason = excluded.reason THEN j.since ELSE now() END

-- name: reject_no_more
DELETE FROM information_rejected j
WHERE source = %(source)s AND NOT EXISTS (
    SELECT FROM unnest(%(kinds)s::text[], %(names)s::text[]) AS k (kind, name) WHERE k.kind = j.kind AND k.name = j.name)

-- name: sources
-- One with rejected entries is read again: what they lacked may be there now.
SELECT name, url, reading, etag, modified, allow_removals IS NOT NULL,
    trouble IS NULL AND NOT EXISTS (SELECT FROM information_rejected j WHERE j.source = s.name)
FROM information_source s

-- name: note_source
INSERT INTO information_source AS s (name, url, etag, modified, reading, asked_at, good_at, trouble, trouble_since, changed_at)
VALUES (%(name)s, %(url)s, %(etag)s, %(modified)s, %(reading)s, now(),
    CASE WHEN %(trouble)s::text IS NULL THEN now() END, %(trouble)s, CASE WHEN %(trouble)s::text IS NOT NULL THEN now() END,
    CASE WHEN %(is_changed)s THEN now() END)
ON CONFLICT (name) DO UPDATE
SET url = excluded.url, etag = excluded.etag, modified = excluded.modified, reading = excluded.reading,
    asked_at = now(), good_at = coalesce(excluded.good_at, s.good_at), trouble = excluded.trouble,
    trouble_since = CASE WHEN s.trouble IS NOT NULL AND excluded.trouble IS NOT NULL
        THEN s.trouble_since ELSE excluded.trouble_since END,
    changed_at = coalesce(excluded.changed_at, s.changed_at),
    allow_removals = CASE WHEN %(is_read)s THEN NULL ELSE s.allow_removals END

-- name: allow_removals
UPDATE information_source SET allow_removals = %(actor)s WHERE name = %(name)s RETURNING name

-- name: set_status
-- NULL lifts what was set. Answers with the version, or nothing where there is no such queue: then it is counted as no
-- change either, for the first that is counted puts the database in the place of the sites file.
WITH counted AS (
    INSERT INTO information_version AS v (version)
    SELECT 1 WHERE EXISTS (SELECT FROM information WHERE kind = 'queue' AND name = %(name)s AND facts IS NOT NULL)
    ON CONFLICT (is_the_one) DO UPDATE SET version = v.version + 1 RETURNING version
), was AS MATERIALIZED (
    SELECT kind, name, source, override, facts ->> 'status' AS status FROM information
    WHERE kind = 'queue' AND name = %(name)s AND facts IS NOT NULL FOR UPDATE
), is_now AS (
    UPDATE information i SET override = %(override)s::jsonb, version = c.version, changed_at = now()
    FROM counted c, was WHERE i.kind = was.kind AND i.name = was.name RETURNING i.version
), written AS (
    INSERT INTO information_history (version, kind, name, source, actor, why, before, after)
    SELECT n.version, was.kind, was.name, was.source, %(actor)s, %(why)s,
        jsonb_build_object('status', was.status, 'override', was.override),
        jsonb_build_object('status', was.status, 'override', %(override)s::jsonb)
    FROM was, is_now n
)
SELECT version, pg_notify('panda_information', version::text) FROM is_now

-- name: overdue
-- Of queues that are gone it is lifted once they are back.
SELECT name FROM information WHERE kind = 'queue' AND facts IS NOT NULL AND (override ->> 'until')::timestamptz <= now()
