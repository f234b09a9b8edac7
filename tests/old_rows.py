"""Rows of each kind that has an end: one named 77 that is old enough to go, one named 78 that stays."""

OLD = "now() - interval '31 days'"
ROWS = {
    "reports": "INSERT INTO pilot_report (job_id, attempt_nr, state, attributes, received_at)"
    " VALUES (1, 0, 'finished', '{}', {old}), (77, 0, 'finished', '{}', {old}), (78, 0, 'finished', '{}', now())",
    "stdout": "INSERT INTO job_stdout (job_id, stdout, metadata, at)"
    " VALUES (1, '', '{}', {old}), (77, '', '{}', {old}), (78, '', '{}', now())",
    "ignored": "INSERT INTO job_ignored (job_id, what, times, last_at) VALUES (77, '', 1, {old}), (78, '', 1, now())",
    "dead_letters": "INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint,"
    " status, settled_at) VALUES ('1', '', '', '', '{}', '', '', 'open', NULL), ('77', '', '', '', '{}', '', '',"
    " 'discarded', {old}), ('78', '', '', '', '{}', '', '', 'replayed', now())",
    "audit": "INSERT INTO audit (actor, action, object, at) VALUES ('', '', '77', {old}), ('', '', '78', now())",
    "information": "INSERT INTO information_history (version, kind, name, source, actor, why, at)"
    " VALUES (1, 'queue', '77', '', '', '', {old}), (1, 'queue', '78', '', '', '', now())",
    "operations": "INSERT INTO operation (operation_id, actor, actor_name, act, filter, wishes, reason, vos, status,"
    " total, is_at_least, last_job_id, created_at) SELECT gen_random_uuid(), n, '', '', '{}', '{}', '', '{}',"
    " status, 0, false, 0, at FROM (VALUES ('1', 'running', {old}), ('77', 'done', {old}), ('78', 'done', now()))"
    " AS v (n, status, at)",
    "workers": "INSERT INTO worker (harvester_id, worker_id, status, last_seen_at)"
    " VALUES ('h', '77', '', {old}), ('h', '78', '', now())",
    "worker_nodes": "INSERT INTO worker_node (site, host_name, description, last_seen_at)"
    " VALUES ('s', '77', '{}', {old}), ('s', '78', '{}', now())",
    "inbox": "INSERT INTO inbox (message_id, received_at) SELECT ('00000000-0000-0000-0000-0000000000' || n)::uuid,"
    " at FROM (VALUES ('77', {old}), ('78', now())) AS v (n, at)",
    "sandboxes": "INSERT INTO cache_file (name, owner, size, checksum, created_at)"
    " VALUES ('77', '', 1, 1, {old}), ('78', '', 1, 1, now())",
    "keys": "INSERT INTO idempotency VALUES ('', '77', '', '', {old}), ('', '78', '', '', now())",
    "jedi_requests": "INSERT INTO jedi_request VALUES ('', '77', '', '', {old}), ('', '78', '', '', now())",
    "unanswered": "INSERT INTO unanswered"
    " VALUES (gen_random_uuid(), '77', '', '', false, {old}), (gen_random_uuid(), '78', '', '', false, now())",
    "jedi_jobs": "INSERT INTO jedi_job (job_id, seq, vo, task_id, changed_at)"
    " VALUES (1, 1, '', 0, {old}), (77, 2, '', 0, {old}), (78, 3, '', 0, now())",
    "transition_counts": "INSERT INTO transition_count VALUES ('77', 3600, {old}, 1, 1, 1, 1),"
    " ('77', 60, now() - interval '25 h', 1, 1, 1, 1), ('77', 10, now() - interval '16 min', 1, 1, 1, 1),"
    " ('78', 3600, now() - interval '8 days', 1, 1, 1, 1)",
    "error_counts": "INSERT INTO error_count VALUES ({old}, '', '77', '', 1, 1, now(), now(), '', 1),"
    " (now(), '', '78', '', 1, 1, now(), now(), '', 1)",
    "error_sums": "INSERT INTO error_rollup VALUES ('77', 21600, {old}, '', '', 1, 1, now(), now()),"
    " ('77', 86400, {old}, '', '', 1, 1, now(), now()), ('78', 86400, now(), '', '', 1, 1, now(), now())",
    "ended_sums": "INSERT INTO ended_rollup VALUES ('77', 3600, {old}, 1), ('77', 86400, {old}, 1),"
    " ('78', 86400, now(), 1)",
    "sites_ended": "INSERT INTO site_ended VALUES ('77', 3600, {old}, 1, 1, 1, 1, 1),"
    " ('77', 60, now() - interval '49 h', 1, 1, 1, 1, 1), ('78', 3600, now() - interval '8 days', 1, 1, 1, 1, 1)",
    "nodes_ended": "INSERT INTO node_ended VALUES ('77', {old}, '', 1, 1), ('78', now(), '', 1, 1)",
    "sites_asked": "INSERT INTO site_asked VALUES ('77', {old}, 1, 1, 1), ('78', now(), 1, 1, 1)",
    "daemon_runs": "INSERT INTO daemon_duty (name, what, every, is_alone, is_vital, limit_s, told_at)"
    " VALUES ('77', '', '', true, false, 1, now()); INSERT INTO daemon_run (name, host, pid, began_at, ended_at,"
    " seconds, slices, outcome) SELECT n, '', 1, at, at, 1, 1, 'done' FROM (VALUES ('77', {old}), ('78', now()))"
    " AS v (n, at)",
    "daemon_hours": "INSERT INTO daemon_hour VALUES ('77', {old}, 1, 0, 1), ('78', now(), 1, 0, 1)",
    "pilot_asks": "INSERT INTO pilot_ask VALUES ('77', gen_random_uuid(), '{}', {old}, 1, 1),"
    " ('78', gen_random_uuid(), '{}', now(), 1, 1)",
}
STAYING = ("reports", "stdout", "dead_letters", "jedi_jobs", "operations")
NAMES = {
    "reports": "pilot_report.job_id", "stdout": "job_stdout.job_id", "ignored": "job_ignored.job_id",
    "dead_letters": "dead_letter.queue",
    "audit": "audit.object", "information": "information_history.name", "operations": "operation.actor",
    "workers": "worker.worker_id", "worker_nodes": "worker_node.host_name", "inbox": "inbox.message_id",
    "sandboxes": "cache_file.name", "keys": "idempotency.key", "unanswered": "unanswered.owner",
    "jedi_requests": "jedi_request.msg_id",
    "jedi_jobs": "jedi_job.job_id", "transition_counts": "transition_count.site", "error_counts": "error_count.site",
    "error_sums": "error_rollup.site", "ended_sums": "ended_rollup.site",
    "sites_ended": "site_ended.site", "nodes_ended": "node_ended.site", "sites_asked": "site_asked.site",
    "pilot_asks": "pilot_ask.site", "daemon_runs": "daemon_run.name", "daemon_hours": "daemon_hour.name",
}  # fmt: skip
