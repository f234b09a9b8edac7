-- Files in the folder of sandboxes, by name.

-- name: unrecorded
-- Those that no sandbox has.
SELECT n.name FROM unnest(%(names)s::text[]) AS n (name)
WHERE NOT EXISTS (SELECT FROM cache_file c WHERE c.name = n.name)

-- name: hold
-- Those that nobody uploads just now. Who does takes this lock first (hold_cache_name), and waits for us.
SELECT n.name FROM unnest(%(names)s::text[]) AS n (name)
WHERE pg_try_advisory_xact_lock(hashtextextended(n.name, 1))

-- name: any_sandbox
SELECT EXISTS (SELECT FROM cache_file)
