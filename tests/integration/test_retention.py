"""What grows has an end: old rows, months, counts, requests; and what keeps dead rows from going is noticed."""

from __future__ import annotations

from pathlib import Path

import psycopg
import pytest

from command import compose
from command.settings import Settings
from panda_fsm.errors import TransientError
from panda_fsm.trouble import Condition
from periodic import counts, partitions, requests, retention, snapshots
from sql.counts import Counts
from sql.kept_requests import KeptRequests
from sql.partitions import KEYS, Partitions, repair
from sql.queries import load
from sql.retention import Retention
from sql.snapshots import Snapshots
from tests import factories
from tests.clockwork import in_block
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator

OLD = "now() - interval '31 days'"
ROWS = {
    "reports": "INSERT INTO pilot_report (job_id, attempt_nr, state, attributes, received_at)"
    " VALUES (1, 0, 'finished', '{}', {old}), (77, 0, 'finished', '{}', {old}), (78, 0, 'finished', '{}', now())",
    "dead_letters": "INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint,"
    " status, settled_at) VALUES ('1', '', '', '', '{}', '', '', 'open', NULL), ('77', '', '', '', '{}', '', '',"
    " 'discarded', {old}), ('78', '', '', '', '{}', '', '', 'replayed', now())",
    "audit": "INSERT INTO audit (actor, action, object, at) VALUES ('', '', '77', {old}), ('', '', '78', now())",
    "workers": "INSERT INTO worker (harvester_id, worker_id, status, last_seen_at)"
    " VALUES ('h', '77', '', {old}), ('h', '78', '', now())",
    "worker_nodes": "INSERT INTO worker_node (site, host_name, description, last_seen_at)"
    " VALUES ('s', '77', '{}', {old}), ('s', '78', '{}', now())",
    "inbox": "INSERT INTO inbox (message_id, received_at) SELECT ('00000000-0000-0000-0000-0000000000' || n)::uuid,"
    " at FROM (VALUES ('77', {old}), ('78', now())) AS v (n, at)",
    "sandboxes": "INSERT INTO cache_file (name, owner, size, checksum, created_at)"
    " VALUES ('77', '', 1, 1, {old}), ('78', '', 1, 1, now())",
    "keys": "INSERT INTO idempotency VALUES ('', '77', '', '', {old}), ('', '78', '', '', now())",
    "unanswered": "INSERT INTO unanswered"
    " VALUES (gen_random_uuid(), '77', '', '', false, {old}), (gen_random_uuid(), '78', '', '', false, now())",
}
NAMES = {
    "reports": "pilot_report.job_id", "dead_letters": "dead_letter.queue", "audit": "audit.object",
    "workers": "worker.worker_id", "worker_nodes": "worker_node.host_name", "inbox": "inbox.message_id",
    "sandboxes": "cache_file.name", "keys": "idempotency.key", "unanswered": "unanswered.owner",
}  # fmt: skip


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Two live jobs."""
    serve(Creator()).handle(factories.submit(factories.draft(1), factories.draft(2)))
    return database


def execute(database_url: str, *statements: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for statement in statements:
            connection.execute(statement.encode())


def forget(database_url: str, kind: str, days: int = 30, folder: Path | None = None) -> None:
    """All slices of one duty."""
    duty = retention.duty(kind, Retention(database_url, kind, 30), days, folder)
    while duty.run():
        pass
    duty.rest()


def test_everything_that_can_be_forgotten_is_forgotten(database_url: str) -> None:
    config = Settings(database_url=database_url, broker_url="amqp://nobody")  # type: ignore[call-arg]  # defaults
    assert {duty.name.replace(" ", "_") for duty in compose._forgetting(config)} == set(load("retention"))


@pytest.mark.parametrize("kind", ROWS)
def test_old_rows_go_and_what_is_needed_stays(jobs: Database, database_url: str, kind: str) -> None:
    """Row 77 is old, 78 is not; 1 is old too, but belongs to a live job or waits for an operator."""
    table, column = NAMES[kind].split(".")
    execute(database_url, "DELETE FROM inbox", ROWS[kind].replace("{old}", OLD))
    forget(database_url, kind)
    found = {int(str(name)[-2:]) for (name,) in jobs.rows(f"SELECT {column} FROM {table}")}  # noqa: S608
    assert found == ({1, 78} if kind in ("reports", "dead_letters") else {78})


def test_more_rows_go_than_fit_into_a_slice(jobs: Database, database_url: str) -> None:
    query = "INSERT INTO audit (actor, action, object, at) SELECT '', '', n, {old} FROM generate_series(1, 1200) n"
    execute(database_url, query.replace("{old}", OLD))
    duty = retention.duty("audit", Retention(database_url, "audit", 30), 30)
    assert [duty.run() for _ in range(3)] == [True, True, False]
    assert jobs.value("SELECT count(*) FROM audit") == 0
    duty.rest()


def test_blocks_go_once_no_job_is_in_them(jobs: Database, database_url: str) -> None:
    in_block(jobs, [1], "sub", "ready", "used")
    in_block(jobs, [2], "sub", "unknown", "open")
    for name, parent in (("closed", "home"), ("fresh", "busy home"), ("idle", ""), ("home", ""), ("busy home", "")):
        kind = "destination" if "home" in name else "sub"
        jobs.rows("INSERT INTO data_block (name, kind, parent) VALUES (%s, %s, %s) RETURNING 1", (name, kind, parent))
    execute(
        database_url,
        f"UPDATE data_block SET created_at = {OLD}",  # noqa: S608
        f"UPDATE data_block SET status = 'closed', closed_at = {OLD} WHERE name IN ('used', 'closed')",  # noqa: S608
        "UPDATE data_block SET status = 'closed', closed_at = now() WHERE name = 'fresh'",
    )
    forget(database_url, "blocks")
    forget(database_url, "idle_blocks")
    assert jobs.rows("SELECT name FROM data_block ORDER BY 1") == [("busy home",), ("fresh",), ("open",), ("used",)]


def test_the_file_of_a_sandbox_goes_with_its_row(jobs: Database, database_url: str, run_dir: Path) -> None:
    execute(database_url, ROWS["sandboxes"].replace("{old}", OLD))
    cache = run_dir / "cache"
    cache.mkdir()
    for name in ("77", "78", "other"):
        (cache / name).write_text("sources")
    forget(database_url, "sandboxes", folder=cache)
    assert sorted(path.name for path in cache.iterdir()) == ["78", "other"]
    jobs.rows(f"UPDATE cache_file SET name = '../outside', created_at = {OLD} RETURNING 1")  # noqa: S608
    (run_dir / "outside").write_text("not ours")
    forget(database_url, "sandboxes", folder=cache)
    assert (run_dir / "outside").exists()


@pytest.mark.parametrize("by", ["add_cache_file", "renew_cache_file", "cache_file_with"])
def test_a_sandbox_that_somebody_wants_again_is_kept_longer(jobs: Database, database_url: str, by: str) -> None:
    execute(database_url, f"INSERT INTO cache_file VALUES ('77', '', 1, 1, {OLD}, '')")  # noqa: S608
    jobs.execute(load("registers")[by], {"name": "77", "owner": "", "size": 1, "checksum": 1, "digest": "", "days": 3})
    forget(database_url, "sandboxes")
    assert jobs.value("SELECT count(*) FROM cache_file") == 1, "else it is promised, and gone when its job runs"


def months(database: Database, parent: str) -> set[str]:
    """The partitions of a table, without the default."""
    query = "SELECT c.relname FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = %s::regclass"
    return {name for (name,) in database.rows(query, (parent,)) if not name.endswith("_default")}


def put_history(database_url: str, *offsets: str) -> None:
    """A row in each partitioned table at each of these times from now."""
    for offset in offsets:
        at = f"now() + interval '{offset}'"
        execute(
            database_url,
            "INSERT INTO job_history (job_id, version, transition_id, service, host, at)"  # noqa: S608
            f" SELECT 1, 1, min(transition_id), 's', 'h', {at} FROM job_transition WHERE event = 'submitted'",
            "INSERT INTO job_archive SELECT (jsonb_populate_record(NULL::job_archive,"  # noqa: S608
            f" to_jsonb(j) || jsonb_build_object('ended_at', {at}))).* FROM job j WHERE job_id = 1",
            "INSERT INTO job_file_archive SELECT (jsonb_populate_record(NULL::job_file_archive,"  # noqa: S608
            f" to_jsonb(f) || jsonb_build_object('ended_at', {at}))).* FROM job_file f WHERE job_id = 1",
            f"INSERT INTO job_spec_archive (job_id, spec, ended_at) SELECT job_id, spec, {at} FROM job_spec"  # noqa: S608
            " WHERE job_id = 1",
        )


def test_partitions_are_made_three_months_ahead_and_migrate_makes_as_many(jobs: Database, database_url: str) -> None:
    before = {parent: months(jobs, parent) for parent in KEYS}
    assert {len(found) for found in before.values()} == {4}
    condition = Condition()
    duty = partitions.duty(Partitions(database_url, 30), 0, 0, condition)
    assert not duty.run()
    assert {parent: months(jobs, parent) for parent in KEYS} == before
    for parent in KEYS:
        execute(database_url, f"DROP TABLE {max(before[parent])}")
    duty.run()
    assert {parent: months(jobs, parent) for parent in KEYS} == before
    assert condition.trouble is None
    duty.rest()


def test_partitions_that_are_there_are_left_alone_while_the_tables_are_in_use(
    jobs: Database, database_url: str
) -> None:
    """Else each look would wait for the oldest transaction, and everybody else behind it."""
    duty = partitions.duty(Partitions(database_url, 30), 0, 0, Condition())
    with psycopg.connect(database_url) as busy:
        busy.execute("LOCK TABLE job_history IN ROW EXCLUSIVE MODE")
        duty.run()
        execute(database_url, f"DROP TABLE {max(months(jobs, 'job_archive'))}")
        busy.execute("LOCK TABLE job_archive IN ROW EXCLUSIVE MODE")
        with pytest.raises(TransientError, match="lock timeout"):
            duty.run()
    duty.run()
    duty.rest()


def test_rows_beside_the_months_are_an_alarm_and_can_be_put_right(jobs: Database, database_url: str) -> None:
    """If tidying was off for months, all rows of two of them lie in the default partitions."""
    put_history(database_url, "0 s", "5 months", "5 months 1 day", "6 months", "-3 months")
    condition = Condition()
    duty = partitions.duty(Partitions(database_url, 30), 0, 0, condition)
    duty.run()
    assert "job_archive, job_file_archive, job_spec_archive: panda-fsm partitions repair" in (condition.trouble or "")
    everything = {parent: jobs.value(f"SELECT count(*) FROM {parent}") for parent in KEYS}  # noqa: S608
    files = jobs.value("SELECT count(*) FROM job_file WHERE job_id = 1")
    assert repair(database_url) == {
        "job_history": 4, "job_archive": 4, "job_file_archive": 4 * files, "job_spec_archive": 4
    }  # fmt: skip
    assert {parent: jobs.value(f"SELECT count(*) FROM {parent}") for parent in KEYS} == everything  # noqa: S608
    assert {len(months(jobs, parent)) for parent in KEYS} == {7}
    for parent in KEYS:
        assert jobs.value(f"SELECT count(*) FROM {parent}_default") == 0  # noqa: S608
    duty.run()
    assert condition.trouble is None
    assert sum(repair(database_url).values()) == 0
    put_history(database_url, "5 months 2 days")
    assert jobs.value("SELECT count(*) FROM job_history_default") == 0, "the month has its partition now"
    duty.rest()


def test_a_month_that_is_in_the_default_keeps_no_other_from_being_made(jobs: Database, database_url: str) -> None:
    last = max(months(jobs, "job_history"))
    execute(database_url, f"DROP TABLE {last}", f"DROP TABLE {last.replace('history', 'archive')}")
    put_history(database_url, "3 months")
    execute(database_url, "DELETE FROM job_archive_default")
    duty = partitions.duty(Partitions(database_url, 30), 0, 0, Condition())
    duty.run()
    assert last not in months(jobs, "job_history")
    assert last.replace("history", "archive") in months(jobs, "job_archive")
    duty.rest()


def test_old_months_are_dropped_when_that_is_wanted(jobs: Database, database_url: str) -> None:
    execute(database_url, *(f"SELECT ensure_partitions(now() - interval '{n} months')" for n in range(1, 6)))
    before = months(jobs, "job_history")
    duty = partitions.duty(Partitions(database_url, 30), 0, 3, Condition())
    while duty.run():
        pass
    assert months(jobs, "job_history") == before, "0 keeps all"
    kept = {name.removeprefix("job_history") for name in sorted(before)[2:]}
    for parent in ("job_archive", "job_file_archive", "job_spec_archive"):
        assert {name.removeprefix(parent) for name in months(jobs, parent)} == kept, "this month and three before"
    duty.rest()


def test_counts_are_folded_and_add_up_to_the_same(jobs: Database, database_url: str) -> None:
    execute(
        database_url,
        "INSERT INTO job_count (state, site, vo, jobs) SELECT 'running', 's' || n % 3, 'v', n % 5 - 2"
        " FROM generate_series(1, 3000) n",
        "INSERT INTO job_count (state, site, vo, jobs) VALUES ('gone', 's', 'v', 1), ('gone', 's', 'v', -1)",
    )
    totals = "SELECT state, site, vo, sum(jobs) FROM job_count GROUP BY 1, 2, 3 HAVING sum(jobs) <> 0 ORDER BY 1, 2, 3"
    before = jobs.rows(totals)
    duty = counts.duty(Counts(database_url, 30))
    assert not duty.run(), "all at once, and nothing more to do"
    assert jobs.rows(totals) == before
    assert jobs.value("SELECT count(*) FROM job_count") == len(before)
    execute(database_url, "INSERT INTO job_count (state, site, vo, jobs) VALUES ('running', 's1', 'v', 1)")
    duty.run()
    assert jobs.value("SELECT count(*) FROM job_count") == len(before) + 1, "so few are no trouble to anybody"
    small = Counts(database_url, 30)
    execute(database_url, "INSERT INTO job_count (state, site, vo, jobs) SELECT 'a', 's', 'v', 1 FROM"
                          " generate_series(1, 100)")  # fmt: skip
    assert small.fold(50, 10)
    small.close()
    duty.rest()


def test_a_request_that_nobody_handled_is_given_up_and_written_down(jobs: Database, database_url: str) -> None:
    execute(
        database_url,
        "INSERT INTO request (message_id, routing_key, body, accepted_at) VALUES"
        " ('00000000-0000-0000-0000-000000000001', 'kill', '{\"job_id\": 1}', now() - interval '6 days'),"
        " ('00000000-0000-0000-0000-000000000002', 'kill', '{}', now() - interval '4 days')",
    )
    duty = requests.duty(KeptRequests(database_url, 30))
    assert not duty.run()
    assert [str(row[0])[-1] for row in jobs.rows("SELECT message_id FROM request")] == ["2"]
    ((actor, action, what, detail),) = jobs.rows("SELECT actor, action, object, detail FROM audit")
    assert (actor, action, what[-1]) == ("clock", "request_expired", "1")
    assert (detail["routing_key"], detail["body"]) == ("kill", '{"job_id": 1}'), "with all that it asked"
    duty.rest()


class OldSnapshots(Snapshots):
    """Sees every transaction as older than it is."""

    def oldest(self) -> tuple[float, str]:
        age_s, who = super().oldest()
        return age_s + 3600 * (age_s > 0), who


def test_a_transaction_that_stays_open_is_an_alarm(database_url: str) -> None:
    condition = Condition()
    duty = snapshots.duty(OldSnapshots(database_url, 30), condition)
    duty.run()
    assert condition.trouble is None
    with psycopg.connect(database_url, application_name="forgotten") as other:
        other.execute("SELECT 1")
        duty.run()
        assert "a transaction is open for 60 min (forgotten, process" in str(condition.trouble)
    duty.run()
    assert condition.trouble is None
    duty.rest()
