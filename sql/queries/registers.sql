-- Workers, machines and sandboxes, as they are made known.

-- name: record_worker
INSERT INTO worker (harvester_id, worker_id, site, node, status)
VALUES (%(harvester_id)s, %(worker_id)s, %(site)s, %(node)s, %(status)s)
ON CONFLICT (harvester_id, worker_id) DO UPDATE
SET site = excluded.site, node = excluded.node, status = excluded.status, last_seen_at = now()

-- name: record_worker_node
INSERT INTO worker_node (site, host_name, description) VALUES (%(site)s, %(host_name)s, %(description)s)
ON CONFLICT (site, host_name) DO UPDATE
SET description = worker_node.description || excluded.description, last_seen_at = now()

-- name: add_cache_file
-- The first writer of a name keeps it, unless it is the same owner who writes again. Who wants it renews it.
INSERT INTO cache_file AS known (name, owner, size, checksum)
VALUES (%(name)s, %(owner)s, %(size)s, %(checksum)s)
ON CONFLICT (name) DO UPDATE SET
    size = CASE WHEN known.owner = excluded.owner THEN excluded.size ELSE known.size END,
    checksum = CASE WHEN known.owner = excluded.owner THEN excluded.checksum ELSE known.checksum END,
    created_at = now()
RETURNING name, owner, size, checksum

-- name: cache_file_with
-- Found again, it is kept as long as if it had just been uploaded: its jobs are still to come.
UPDATE cache_file SET created_at = now() WHERE name = (
    SELECT name FROM cache_file WHERE size = %(size)s AND checksum = %(checksum)s ORDER BY created_at DESC LIMIT 1)
RETURNING name, owner, size, checksum
