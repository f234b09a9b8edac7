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
-- On most nodes nothing fails: how often jobs ended well is asked only of the others.
SELECT bad.site, bad.node, (
    SELECT sum(finished)::bigint FROM node_ended
    WHERE site = bad.site AND node = bad.node AND slot >= now() - make_interval(mins => %(minutes)s)), bad.failed
FROM (
    SELECT site, node, sum(failed)::bigint AS failed FROM node_ended
    WHERE slot >= now() - make_interval(mins => %(minutes)s) AND failed > 0
        AND (%(site)s::text IS NULL OR site = %(site)s::text)
    GROUP BY site, node HAVING sum(failed) >= %(least)s ORDER BY 3 DESC, site, node LIMIT %(limit)s
) AS bad ORDER BY bad.failed DESC, bad.site, bad.node

-- name: errors
-- Of this hour and the one before.
SELECT site, component, code, sum(jobs)::bigint FROM error_count
WHERE hour >= date_trunc('hour', now()) - interval '1 hour' AND (%(site)s::text IS NULL OR site = %(site)s::text)
GROUP BY site, component, code

-- name: asks
SELECT filters, greatest(0, extract(epoch FROM now() - last_at))::float8, asks, jobs FROM pilot_ask
WHERE site = %(site)s ORDER BY last_at DESC
