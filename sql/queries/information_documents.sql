-- Queues, sites and storages as documents of people.

-- name: newest
SELECT coalesce(max(history_id), 0) FROM information_history

-- name: changes
-- Who imports is the one who changes things until he is done.
SELECT kind, name, before, after FROM information_history
WHERE history_id > %(history_id)s AND source = %(source)s ORDER BY kind, name

-- name: rejected
SELECT kind, name, reason FROM information_rejected WHERE source = %(source)s ORDER BY kind, name

-- name: all
SELECT kind, name, facts, pilots FROM information WHERE facts IS NOT NULL ORDER BY kind, name
