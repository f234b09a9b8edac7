-- What people look at over days and of many nodes costs little (ADR 0049).

-- Errors and ends of jobs of what is over, added up: hours of all sites together, six hours of each, days of all and of
-- each. `site` is '' for all. Nothing of a slot is here before all of it is.
CREATE TABLE error_rollup (
    site text NOT NULL,
    span integer NOT NULL,
    slot timestamptz NOT NULL,
    vo text NOT NULL,
    component text NOT NULL,
    code bigint NOT NULL,
    jobs bigint NOT NULL,
    first_at timestamptz NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (site, span, slot, vo, component, code)
);
CREATE INDEX error_rollup_slot ON error_rollup (span, slot);
CREATE TABLE ended_rollup (
    site text NOT NULL,
    span integer NOT NULL,
    slot timestamptz NOT NULL,
    jobs bigint NOT NULL,
    PRIMARY KEY (site, span, slot)
);
CREATE INDEX ended_rollup_slot ON ended_rollup (span, slot);
INSERT INTO error_rollup
SELECT CASE WHEN g.by_site THEN e.site ELSE '' END, g.span, date_bin(make_interval(secs => g.span), e.hour, 'epoch'), e.vo,
    e.component, e.code, sum(e.jobs), min(e.first_at), max(e.last_at)
FROM error_count e CROSS JOIN (VALUES (3600, false), (21600, true), (86400, false), (86400, true)) AS g(span, by_site)
WHERE e.hour < date_bin(make_interval(secs => g.span), (SELECT until FROM history_counted), 'epoch')
GROUP BY 1, 2, 3, 4, 5, 6 ORDER BY 2, 3, 1;
INSERT INTO ended_rollup
SELECT CASE WHEN g.by_site THEN e.site ELSE '' END, g.span, date_bin(make_interval(secs => g.span), e.slot, 'epoch'),
    sum(e.finished + e.failed + e.stopped)
FROM site_ended e CROSS JOIN (VALUES (3600, false), (86400, false), (86400, true)) AS g(span, by_site)
WHERE e.span = 3600 AND e.slot < date_bin(make_interval(secs => g.span), (SELECT until FROM history_counted), 'epoch')
GROUP BY 1, 2, 3 ORDER BY 2, 3, 1;

-- What is still told apart by hours is found by its queue, and by its code.
CREATE INDEX error_count_site ON error_count (site, hour);
CREATE INDEX error_count_code ON error_count (component, code, hour);

-- Of the nodes of ten minutes those on which most jobs failed, of all queues and of one.
CREATE INDEX node_ended_failed ON node_ended (slot, failed) WHERE failed > 0;
CREATE INDEX node_ended_site_failed ON node_ended (site, slot, failed) WHERE failed > 0;
