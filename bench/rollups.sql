-- What people look at in a large system (rollups.py).

-- name: error_count
-- Ten errors an hour at a queue, which last for days; 150 codes in all.
INSERT INTO error_count
SELECT hour, 'atlas', 'SITE_' || s, (ARRAY['pilot', 'exe', 'ddm'])[1 + c % 3], 1000 + (s * 7 + c * 13 + h / 48) % 50,
    1 + (s + c + h) % 9, hour + interval '1 min', least(now(), hour + make_interval(mins => 59, secs => s % 60)),
    'what was said of it, in a sentence of some words, by whoever saw it', 1000
FROM generate_series(0, 359) AS h, generate_series(1, 200) AS s, generate_series(1, 10) AS c,
    LATERAL (SELECT date_trunc('hour', now(), 'UTC') - h * interval '1 hour' AS hour) AS at
ON CONFLICT DO NOTHING;

-- name: node_ended
-- In an hour something failed on a third of the nodes, most of all on a few.
INSERT INTO node_ended
SELECT 'SITE_' || 1 + n % 200, date_bin('10 min', now(), 'epoch') - m * interval '10 min', 'wn-' || n || '.example.org',
    n % 20, CASE WHEN n % 3 = 0 THEN n / 3 % 17 ELSE 0 END
FROM generate_series(0, 6) AS m, generate_series(1, 20000) AS n;

-- name: site_ended
INSERT INTO site_ended
SELECT 'SITE_' || s, span, date_bin(make_interval(secs => span), now(), 'epoch') - m * make_interval(secs => span),
    span / 6, span / (20 + s), 1, span / 6, span * 50.0
FROM generate_series(1, 200) AS s, (VALUES (60, 1440), (3600, 360)) AS g(span, slots), LATERAL generate_series(0, slots - 1) AS m;

-- name: site_asked
INSERT INTO site_asked
SELECT 'SITE_' || s, date_trunc('minute', now()) - m * interval '1 min', 60, 40, 20
FROM generate_series(1, 200) AS s, generate_series(0, 1439) AS m;

-- name: pilot_ask
INSERT INTO pilot_ask
SELECT 'SITE_' || s, md5(s || '-' || k)::uuid, '{"cores": 8, "mem": 16000}', now() - k * interval '1 min', 1000, 600
FROM generate_series(1, 200) AS s, generate_series(1, 20) AS k;

-- name: job_count
INSERT INTO job_count
SELECT state, 'SITE_' || s, 'atlas', 50 + s, now() FROM generate_series(1, 200) AS s, job_state;

-- name: transition_count
-- Each transition in eight buckets: of all queues in all spans, of each in the minutes of half an hour and the hours of half a day.
INSERT INTO transition_count
SELECT CASE WHEN g.sites = 0 THEN '' ELSE 'SITE_' || s END, span,
    date_bin(make_interval(secs => span), now(), 'epoch') - m * make_interval(secs => span), transition_id, b,
    span * (1 + b % 3), span * 10.0
FROM (VALUES (60, 0, 1440), (3600, 0, 360), (60, 200, 30), (3600, 200, 12)) AS g(span, sites, slots),
    LATERAL generate_series(least(1, g.sites), g.sites) AS s, LATERAL generate_series(0, slots - 1) AS m,
    (SELECT min(transition_id) AS transition_id FROM job_transition GROUP BY source, destination ORDER BY 1 LIMIT 20) AS t,
    LATERAL generate_series(10, CASE WHEN g.sites = 0 THEN 17 ELSE 12 END) AS b
ON CONFLICT DO NOTHING;

-- name: dead_letter
INSERT INTO dead_letter (at, queue, exchange, routing_key, payload, headers, reason, fingerprint)
SELECT now() - n * interval '1 min', (ARRAY['watcher', 'relay', 'adder'])[1 + n % 3], 'requests', 'job.report',
    '{"data": 1}', '{}', 'ValueError: what was wrong with it ' || n % 50, 'cause' || n % 50
FROM generate_series(1, 5000) AS n;

-- name: audit
INSERT INTO audit (at, actor, action, object, detail)
SELECT now() - n * interval '1 min', 'somebody', 'kill_requested', 'job ' || n, '{"name": "Some Body"}'
FROM generate_series(20000, 1, -1) AS n;
