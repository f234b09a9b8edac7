-- What is known of PanDA queues, for people: with what pilots read left out, which is long.

-- name: queues
SELECT i.name, i.source, i.facts, i.override, i.changed_at FROM information i
WHERE i.kind = 'queue' AND i.facts IS NOT NULL AND i.name > %(after)s::text
    AND (%(name)s::text IS NULL OR strpos(lower(i.name), lower(%(name)s::text)) > 0)
    AND (%(source)s::text IS NULL OR i.source = %(source)s::text)
    AND (%(status)s::text IS NULL OR coalesce(i.override ->> 'status', i.facts ->> 'status') = %(status)s::text)
ORDER BY i.name LIMIT %(limit)s

-- name: queue
SELECT i.name, i.source, i.facts, i.override, i.changed_at FROM information i
WHERE i.kind = 'queue' AND i.name = %(name)s AND i.facts IS NOT NULL

-- name: history
SELECT at, actor, why, source, before, after FROM information_history
WHERE kind = 'queue' AND name = %(name)s ORDER BY history_id DESC LIMIT %(limit)s

-- name: sources
SELECT s.name, s.url, extract(epoch FROM now() - s.asked_at)::float8, extract(epoch FROM now() - s.good_at)::float8,
    extract(epoch FROM now() - s.changed_at)::float8, s.trouble,
    extract(epoch FROM now() - s.trouble_since)::float8,
    (SELECT count(*) FROM information_rejected j WHERE j.source = s.name)
FROM information_source s ORDER BY s.trouble IS NULL, s.name

-- name: rejected
SELECT source, kind, name, reason, since FROM information_rejected
WHERE %(name)s::text IS NULL OR kind = 'queue' AND name = %(name)s::text
ORDER BY since DESC, source, kind, name LIMIT %(limit)s
