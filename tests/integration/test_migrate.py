"""Migrations: from nothing, twice, at once, guarded; the database knows the lifecycle table; schema.sql is fresh."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from lab import debian
from lab.services import Services
from panda_fsm.errors import SettingsError, TransientError
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import JOB
from sql import schema
from sql.migrate import latest, migrate, migrations
from tests.clockwork import Clock
from tests.driver import Database
from tests.polling import wait_until

NAME = "migrate_test"


@pytest.fixture
def empty_url(services: Services) -> Iterator[str]:
    """The address of a database with nothing in it."""
    with psycopg.connect(services.postgres.url_of("postgres"), autocommit=True) as connection:
        connection.execute(f"DROP DATABASE IF EXISTS {NAME} WITH (FORCE)")
        connection.execute(f"CREATE DATABASE {NAME}")
        yield services.postgres.url_of(NAME)
        connection.execute(f"DROP DATABASE {NAME} WITH (FORCE)")


def rows(url: str, query: str) -> list[tuple[object, ...]]:
    """All rows of a query."""
    database = Database(url)
    try:
        return database.rows(query)
    finally:
        database.close()


def test_from_nothing_and_again(empty_url: str) -> None:
    assert migrate(empty_url) == [path.stem for path in migrations()]
    assert migrate(empty_url) == []
    assert rows(empty_url, "SELECT max(version) FROM schema_version") == [(latest(),)]


def test_an_upgrade_finds_no_queue_idle_the_second_time_either(empty_url: str) -> None:
    """After a rollback: programs of before note no starts."""
    migrate(empty_url)
    known, new = (_JOB.format(table="job", job_id=n, state="running", ended_at="NULL") for n in (1, 2))
    with psycopg.connect(empty_url) as connection:
        connection.execute("INSERT INTO queue_start VALUES ('s', now() - interval '3 h')")
        connection.execute(known.encode())
        connection.execute(new.replace("'s'", "'t'").encode())
    assert migrate(empty_url) == []
    starts = "SELECT site, started_at > now() - interval '1 min' FROM queue_start ORDER BY site"
    assert rows(empty_url, starts) == [("s", True), ("t", True)]


def test_two_at_once_apply_everything_once(empty_url: str) -> None:
    with ThreadPoolExecutor(3) as pool:
        applied = [future.result() for future in [pool.submit(migrate, empty_url) for _ in range(3)]]
    assert sorted(applied, key=len) == [[], [], [path.stem for path in migrations()]]


def test_a_changed_migration_is_refused(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE schema_version SET checksum = 'other' WHERE version LIKE '0001%'")
    with pytest.raises(SettingsError, match="applied with other content; write a new migration"):
        migrate(database_url)


def test_no_database_is_said_in_a_sentence() -> None:
    with pytest.raises(TransientError, match="PANDA_FSM_DATABASE_URL"):
        migrate("postgresql://panda:x@127.0.0.1:1/panda")


def test_the_database_knows_the_lifecycle_table(database_url: str) -> None:
    found = rows(database_url, "SELECT event, source, destination, service FROM job_transition")
    assert len(found) == len(set(found))
    assert set(found) == set(JOB.rows())
    states = rows(database_url, "SELECT state, final FROM job_state")
    assert set(states) == {(state.value, state in FINAL) for state in State}


def test_ids_of_transitions_stay_and_services_may_change(database_url: str) -> None:
    query = "SELECT transition_id, event, source, destination, service FROM job_transition ORDER BY 1"
    before = rows(database_url, query)
    with psycopg.connect(database_url) as connection:
        connection.execute("UPDATE job_transition SET service = 'former' WHERE event = 'lost'")
    migrate(database_url)
    assert rows(database_url, query) == before


def test_history_goes_to_the_partition_of_its_month(database_url: str) -> None:
    insert = """INSERT INTO job_history (job_id, version, transition_id, service, host, at)
                SELECT 1, n, min(transition_id), 's', 'h', now() + (n - 1) * interval '1 month'
                FROM job_transition, generate_series(1, 5) n WHERE event = 'submitted' GROUP BY n
                RETURNING tableoid::regclass::text, 'job_history_' || to_char(at, 'YYYY_MM')"""
    with psycopg.connect(database_url) as connection:
        # One by one, since these are no history of one job.
        placed = connection.execute(insert.replace("1, n, min", "n, 1, min").encode()).fetchall()
    found = sorted(placed, key=lambda row: str(row[1]))
    assert [table == month for table, month in found] == [True, True, True, True, False]
    assert found[-1][0] == "job_history_default"


_JOB = """INSERT INTO {table} (job_id, state, version, attempt_nr, vo, site, label, priority, task_id,
    job_definition_id, jobset_id, name, owner, user_name, core_count, min_ram, max_disk, max_walltime, resource_type,
    destination, deadline_at, ended_at)
    VALUES ({job_id}, '{state}', 1, 1, 'v', 's', 'l', 0, 1, 1, 1, '', '', '', 1, 1, 1, 1, '', '', now(), {ended_at})"""


def older(url: str, version: int, *statements: str) -> None:
    """A database of an older release, with something in it."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("CREATE TABLE schema_version (version text PRIMARY KEY, checksum text NOT NULL,"
                           " applied_at timestamptz NOT NULL DEFAULT now())")  # fmt: skip
        for path in migrations()[:version]:
            checksum = hashlib.sha256(path.read_bytes()).hexdigest()
            connection.execute(path.read_text().encode())
            connection.execute("INSERT INTO schema_version VALUES (%s, %s)", (path.stem, checksum))
        for statement in statements:
            connection.execute(statement.encode())


def test_a_database_in_use_is_brought_to_the_foundation(empty_url: str) -> None:
    """What is in the archive is known by its id; and for how long everything was stopped, nobody knows."""
    older(
        empty_url,
        3,
        _JOB.format(table="job", job_id=1, state="running", ended_at="NULL"),
        "INSERT INTO job_deadline (job_id, deadline_at) VALUES (1, now())",
        *(_JOB.format(table="job_archive", job_id=2, state="failed", ended_at=at) for at in ("now()", "'2025-01-01'")),
    )
    assert migrate(empty_url) == [path.stem for path in migrations()[3:]]
    archived = "SELECT job_id, ended_at > now() - interval '1 h' FROM job_ended"
    assert rows(empty_url, archived) == [(2, True)], "once, and the last time, though an old mistake archived it twice"
    clock = Clock(empty_url)
    clock.round("pulse")
    clock.round("deadlines")
    clock.close()
    assert rows(empty_url, "SELECT count(*) FROM outbox") == [(0,)], "its pilot may have had nobody to speak to"
    assert rows(empty_url, "SELECT grace_until > now() + interval '30 min' FROM pulse") == [(True,)]


@pytest.fixture
def hurry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Migrations that wait for a shorter time."""
    monkeypatch.setattr("sql.migrate.LOCK_TIMEOUT", "200ms")
    monkeypatch.setattr("sql.migrate.PAUSE_S", 0.2)


_AWAITED = "SELECT FROM pg_locks WHERE NOT granted AND relation = 'job'::regclass"


@pytest.mark.usefixtures("hurry")
def test_a_table_that_somebody_holds_is_waited_for_without_holding_up_others(empty_url: str) -> None:
    """As a backup does, or a session that somebody forgot."""
    older(empty_url, 6, _JOB.format(table="job", job_id=1, state="running", ended_at="NULL"))
    with (
        ThreadPoolExecutor(1) as pool,
        psycopg.connect(empty_url) as backup,
        psycopg.connect(empty_url, options="-c statement_timeout=10s", autocommit=True) as program,
    ):
        backup.execute("SELECT FROM job")
        migrating = pool.submit(migrate, empty_url)
        wait_until(lambda: rows(empty_url, _AWAITED), "the migration waits for the table")
        assert program.execute("UPDATE job SET version = 2").rowcount == 1
        backup.commit()
        assert migrating.result() == [path.stem for path in migrations()[6:]]


@pytest.mark.usefixtures("hurry")
def test_a_table_that_is_held_for_long_is_said(
    empty_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sql.migrate.GIVE_UP_S", 0.3)
    older(empty_url, 6)
    with psycopg.connect(empty_url) as backup:
        backup.execute("SELECT FROM job")
        with pytest.raises(
            TransientError, match=r"migration 0007_blocks\.sql was given up .* run panda-fsm migrate again"
        ):
            migrate(empty_url)
    assert "migration_waits" in capsys.readouterr().out
    assert rows(empty_url, "SELECT max(version) FROM schema_version") == [(migrations()[5].stem,)]


@pytest.mark.usefixtures("hurry")
def test_the_archive_takes_jobs_while_a_migration_waits_for_live_ones(empty_url: str) -> None:
    """The daemon takes live jobs first and the archive then: a migration that did otherwise would meet it."""
    older(empty_url, 7, _JOB.format(table="job", job_id=1, state="failed", ended_at="now()"))
    with ThreadPoolExecutor(1) as pool, psycopg.connect(empty_url) as clock:
        clock.execute("DELETE FROM job WHERE job_id = 1")
        migrating = pool.submit(migrate, empty_url)
        wait_until(lambda: rows(empty_url, _AWAITED), "the migration waits for the table")
        clock.execute(_JOB.format(table="job_archive", job_id=1, state="failed", ended_at="now()").encode())
        clock.commit()
        assert migrating.result() == [path.stem for path in migrations()[7:]]


@pytest.mark.parametrize("path", migrations()[8:], ids=lambda path: path.stem)
def test_who_writes_live_jobs_does_not_wait_for_an_index_of_the_archive(path: Path) -> None:
    """What the first index locks stays locked until the last is built, and the archive is by far the larger."""
    tables = re.findall(r"^CREATE INDEX \w+ ON (\w+)", path.read_text(), re.MULTILINE)
    assert len({table.endswith("_archive") for table in tables}) <= 1


def test_an_empty_database_needs_no_grace(database_url: str) -> None:
    assert rows(database_url, "SELECT name FROM pulse") == []


def test_committed_schema_is_what_the_migrations_make(database_url: str) -> None:
    found = debian.postgres_bin()
    assert found is not None
    assert schema.FILE.read_text() == schema.dump(database_url, str(found / "pg_dump")), "run `make schema`"
