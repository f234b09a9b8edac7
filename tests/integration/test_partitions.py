"""Month partitions: made ahead, dropped when they are old; rows beside them are an alarm and can be put right."""

from __future__ import annotations

import psycopg
import pytest

from panda_fsm.errors import TransientError
from panda_fsm.trouble import Condition
from periodic import partitions
from sql.duty import WorkerSession
from sql.health import health
from sql.partitions import KEYS, Partitions, repair
from sql.partitions import partitions as all_partitions
from tests import factories
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.integration.test_retention import execute


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """A live job."""
    serve(Creator()).handle(factories.submit(factories.draft(1)))
    return database


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
            f"INSERT INTO job_sample (job_id, slot) VALUES (1, {at})",  # noqa: S608
        )


def test_all_partitioned_tables_are_looked_after(jobs: Database) -> None:
    assert {name for (name,) in jobs.rows("SELECT relname FROM pg_class WHERE relkind = 'p'")} == KEYS.keys()


def test_partitions_are_made_three_months_ahead_and_migrate_makes_as_many(jobs: Database, database_url: str) -> None:
    before = {parent: months(jobs, parent) for parent in KEYS}
    assert {len(found) for found in before.values()} == {4}
    condition = Condition()
    duty = partitions.duty(Partitions(WorkerSession(database_url, 30)), 0, 0, 0, condition)
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
    duty = partitions.duty(Partitions(WorkerSession(database_url, 30)), 0, 0, 0, Condition())
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
    duty = partitions.duty(Partitions(WorkerSession(database_url, 30)), 0, 0, 0, condition)
    duty.run()
    assert "job_archive, job_file_archive, job_spec_archive, job_sample: panda-fsm partitions repair" in (
        condition.trouble or ""
    )
    assert health(database_url).in_default_partitions.keys() == KEYS.keys()
    beside = {one.parent for one in all_partitions(database_url) if one.is_default and one.rows}
    assert beside == KEYS.keys()
    everything = {parent: jobs.value(f"SELECT count(*) FROM {parent}") for parent in KEYS}  # noqa: S608
    files = jobs.value("SELECT count(*) FROM job_file WHERE job_id = 1")
    assert repair(database_url) == {
        "job_history": 4, "job_archive": 4, "job_file_archive": 4 * files, "job_spec_archive": 4,
        "job_sample": 4,
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
    duty = partitions.duty(Partitions(WorkerSession(database_url, 30)), 0, 0, 0, Condition())
    duty.run()
    assert last not in months(jobs, "job_history")
    assert last.replace("history", "archive") in months(jobs, "job_archive")
    duty.rest()


def test_old_months_are_dropped_when_that_is_wanted(jobs: Database, database_url: str) -> None:
    execute(database_url, *(f"SELECT ensure_partitions(now() - interval '{n} months')" for n in range(1, 6)))
    before = months(jobs, "job_history")
    duty = partitions.duty(Partitions(WorkerSession(database_url, 30)), 0, 3, 1, Condition())
    while duty.run():
        pass
    assert months(jobs, "job_history") == before, "0 keeps all"
    kept = {name.removeprefix("job_history") for name in sorted(before)[2:]}
    for parent in ("job_archive", "job_file_archive", "job_spec_archive"):
        assert {name.removeprefix(parent) for name in months(jobs, parent)} == kept, "this month and three before"
    assert months(jobs, "job_sample") == {f"job_sample{name}" for name in sorted(kept)[2:]}, "this month and one before"
    duty.rest()


def test_a_table_in_use_keeps_no_other_from_the_alarm_and_from_being_dropped(jobs: Database, database_url: str) -> None:
    put_history(database_url, "5 months")
    execute(
        database_url,
        "SELECT ensure_partitions(now() - interval '3 months')",
        f"DROP TABLE {max(months(jobs, 'job_history'))}",
    )
    old = {parent: min(months(jobs, parent)) for parent in KEYS}
    condition = Condition()
    duty = partitions.duty(Partitions(WorkerSession(database_url, 30)), 1, 1, 1, condition)
    with psycopg.connect(database_url) as busy:
        busy.execute("LOCK TABLE job_history IN ROW EXCLUSIVE MODE")
        with pytest.raises(TransientError, match="lock timeout"):
            duty.run()
    assert "job_history, job_archive" in (condition.trouble or "")
    assert {parent for parent in KEYS if old[parent] in months(jobs, parent)} == {"job_history"}
    duty.rest()
