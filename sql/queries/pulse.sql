-- Who ticks. Seconds of a gap that matters: here and in appointments.sql.

-- name: tick
INSERT INTO pulse AS p (name, ticked_at) VALUES (%(name)s, now())
ON CONFLICT (name) DO UPDATE SET ticked_at = now(), grace_until = CASE
    WHEN p.ticked_at < now() - interval '60 s' THEN now() + make_interval(secs => %(grace_s)s) ELSE p.grace_until END

-- name: count_asked
INSERT INTO site_request (site, getjob)
SELECT r.site, r.getjob FROM json_to_recordset(%(rows)s::json) AS r(site text, getjob int)

-- name: silent
SELECT name, extract(epoch FROM now() - ticked_at)::float8 FROM pulse
WHERE ticked_at < now() - interval '60 s' ORDER BY name
