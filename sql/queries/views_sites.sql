-- How queues do, from what gateways and the daemon have counted. Each statement is of all queues, or of one.

-- name: states
SELECT site, state, sum(jobs)::bigint FROM job_count WHERE %(site)s::text IS NULL OR site = %(site)s::text
GROUP BY site, state HAVING sum(jobs) > 0

-- name: asked
SELECT site, sum(asks)::bigint, sum(jobs)::bigint, sum(empty)::bigint FROM site_asked
WHERE slot >= now() - make_interval(mins => %(minutes)s) AND (%(site)s::text IS NULL OR site = %(site)s::text) GROUP BY site

-- name: silent
SELECT site, greatest(0, extract(epoch FROM now() - max(last_at)))::float8 FROM pilot_ask
WHERE %(site)s::text IS NULL OR site = %(site)s::text GROUP BY site

-- name: ended
SELECT site, sum(finished)::bigint, sum(failed)::bigint, sum(stopped)::bigint, sum(given)::bigint, sum(waited_s)
FROM site_ended WHERE span = 60 AND slot >= now() - make_interval(mins => %(minutes)s)
    AND (%(site)s::text IS NULL OR site = %(site)s::text) GROUP BY site

-- name: nodes
-- Of each ten minutes the nodes on which most jobs failed are found by an index; the whole hour is added up of them only.
WITH slot AS MATERIALIZED (
    SELECT generate_series(date_bin('10 min', now() - make_interval(mins => %(minutes)s), 'epoch') + interval '10 min',
        now(), '10 min') AS slot
), bad AS MATERIALIZED (
    SELECT n.site, n.node FROM slot s CROSS JOIN LATERAL (
        SELECT site, node, failed FROM node_ended
        WHERE slot = s.slot AND failed > 0 /* which */ ORDER BY failed DESC LIMIT %(limit)s) AS n
    GROUP BY n.site, n.node ORDER BY sum(n.failed) DESC, n.site, n.node LIMIT %(limit)s
)
SELECT b.site, b.node, sum(e.finished)::bigint, sum(e.failed)::bigint
FROM bad b CROSS JOIN slot s CROSS JOIN LATERAL (
    SELECT finished, failed FROM node_ended WHERE site = b.site AND slot = s.slot AND node = b.node OFFSET 0) AS e
GROUP BY b.site, b.node HAVING sum(e.failed) >= %(least)s ORDER BY sum(e.failed) DESC, b.site, b.node

-- name: errors
-- Of this hour and the one before.
SELECT site, component, code, sum(jobs)::bigint FROM error_count
WHERE hour >= date_trunc('hour', now()) - interval '1 hour' AND (%(site)s::text IS NULL OR site = %(site)s::text)
GROUP BY site, component, code

-- name: asks
SELECT filters, greatest(0, extract(epoch FROM now() - last_at))::float8, asks, jobs FROM pilot_ask
WHERE site = %(site)s ORDER BY last_at DESC
