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

-- name: hold_cache_name
-- Nobody else decides on the name until the transaction ends.
SELECT pg_advisory_xact_lock(hashtextextended(%(name)s, 1))

-- name: hold_cache_owner
-- Uploads of one owner are counted one after another, or two at once would both fit into the quota.
SELECT pg_advisory_xact_lock(hashtextextended(%(owner)s, 2))

-- name: cache_file_named
SELECT name, owner, size, checksum, digest FROM cache_file WHERE name = %(name)s FOR UPDATE

-- name: cache_bytes
SELECT coalesce(sum(size), 0)::bigint FROM cache_file WHERE owner = %(owner)s AND name <> %(name)s

-- name: add_cache_file
INSERT INTO cache_file AS known (name, owner, size, checksum, digest)
VALUES (%(name)s, %(owner)s, %(size)s, %(checksum)s, %(digest)s)
ON CONFLICT (name) DO UPDATE SET owner = excluded.owner, size = excluded.size, checksum = excluded.checksum,
    digest = excluded.digest, created_at = now(), uploaded_at = now()

-- name: renew_cache_file
UPDATE cache_file SET created_at = now() WHERE name = %(name)s

-- name: cache_file_with
-- Found again, it is kept as long as if it had just been uploaded: its jobs are still to come. What the gateway did not
-- read itself is nobody's.
UPDATE cache_file SET created_at = now() WHERE name = (
    SELECT name FROM cache_file
    WHERE owner = %(owner)s AND size = %(size)s AND checksum = %(checksum)s AND digest IS NOT NULL
        AND uploaded_at > now() - make_interval(days => %(days)s)
    ORDER BY uploaded_at DESC LIMIT 1)
RETURNING name, owner, size, checksum, digest
