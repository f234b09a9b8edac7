"""The supervisor and its children: nobody outlives it, who was killed is back at once, none serves too early."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from command.compose import NAMES
from lab import leftovers
from lab.daemon import Daemon
from lab.system import System
from sql.migrate import latest, migrate, migrations
from tests.driver import Database
from tests.living import is_alive
from tests.polling import wait_until
from tests.processes import Processes

BACK_WITHIN_S = 3.0
"""What is promised is one second, and takes a third of one; three, for others may take the processor meanwhile. That
is far below the ten to which waiting grows for who ends by himself, and that no pause was made is looked at apart."""


@pytest.fixture
def waiting(run_dir: Path, empty_database_url: str, broker_url: str) -> Iterator[Processes]:
    """Processes on a database that nobody has migrated yet: all live, and none serves."""
    running = Processes(run_dir, empty_database_url, broker_url)
    try:
        yield running
    finally:
        print(running.log_tails())
        running.close()


def lines(processes: Processes, name: str, event: str) -> list[dict[str, object]]:
    """The lines of a log with this event."""
    found = [json.loads(line) for line in processes.log(name).splitlines() if line.startswith("{")]
    return [line for line in found if line.get("event") == event]


def started(processes: Processes, service: str | None = None) -> list[int]:
    """The pids that the supervisor has started so far."""
    found = lines(processes, "all", "started")
    return [int(str(line["pid"])) for line in found if service in (None, line["process"])]


def all_started(processes: Processes) -> None:
    """Returns once each of the children is at work or waits for the schema."""
    processes.start("all")
    wait_until(lambda: len(started(processes)) >= len(NAMES), "all children started")
    wait_until(
        lambda: len(lines(processes, "all", "in_trouble")) >= len(NAMES) - 1, "all but the gateway wait for the schema"
    )


def nobody_outlives(processes: Processes, number: signal.Signals) -> None:
    """The last act of a test: the supervisor is gone, and its children with it."""
    everybody = [processes.pid("all"), *started(processes)]
    os.kill(everybody[0], number)
    wait_until(lambda: not any(map(is_alive, everybody)), "all have ended")


def test_who_is_killed_is_back_at_once_however_often_and_ends_with_the_supervisor(waiting: Processes) -> None:
    all_started(waiting)
    for _ in range(10):
        before = started(waiting, "closer")
        os.kill(before[-1], signal.SIGKILL)
        wait_until(lambda: len(started(waiting, "closer")) > len(before), "closer is back", BACK_WITHIN_S)  # noqa: B023
    assert len(started(waiting)) == len(NAMES) + 10
    assert {line["again_in_s"] for line in lines(waiting, "all", "died")} == {0.0}, "by the supervisor's own clock"
    nobody_outlives(waiting, signal.SIGKILL)


def test_who_ends_by_himself_is_started_ever_more_slowly_and_ends_with_the_supervisor(waiting: Processes) -> None:
    """However well it ends, it would do so again."""
    all_started(waiting)
    for number in range(1, 4):

        def is_at_work(number: int = number) -> bool:
            told = [line for line in lines(waiting, "all", "in_trouble") if line["service"] == "closer"]
            return len(told) >= number

        wait_until(is_at_work, "closer waits for the schema")
        os.kill(started(waiting, "closer")[-1], signal.SIGTERM)
        wait_until(lambda: len(started(waiting, "closer")) > number, "closer is back")  # noqa: B023
    died = lines(waiting, "all", "died")
    waits = [float(str(line["again_in_s"])) for line in died if line["exit_code"] == 0]
    assert len(waits) == 3
    assert waits == sorted(set(waits)), "the first time at once, or nearly"
    nobody_outlives(waiting, signal.SIGHUP)


def test_a_service_that_fails_by_itself_is_started_ever_more_slowly(waiting: Processes) -> None:
    waiting.start("all", PANDA_FSM_GATEWAY_HOST="192.0.2.1")
    wait_until(lambda: len(started(waiting, "gateway")) >= 5, "the gateway was tried again")
    died = lines(waiting, "all", "died")
    assert {line["process"] for line in died} == {"gateway"}
    waits = [float(str(line["again_in_s"])) for line in died]
    assert waits == sorted(set(waits))


def test_up_after_a_crash_runs_one_system_at_the_same_address(
    run_dir: Path, database_url: str, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PANDA_FSM_DATABASE_URL", database_url)
    monkeypatch.setenv("PANDA_FSM_BROKER_URL", broker_url)
    first = System(run_dir)
    try:
        first.up()
        before = leftovers.marked(run_dir)
        supervisor = Daemon("panda-fsm", run_dir).pid
        assert supervisor is not None
        os.kill(supervisor, signal.SIGKILL)
        wait_until(lambda: not first.is_running, "the supervisor has ended")
        second = System(run_dir)
        second.up()
        assert second.url == first.url
        assert not set(before) & set(leftovers.marked(run_dir))
    finally:
        System(run_dir).down()
    assert leftovers.marked(run_dir) == []


def test_none_serves_before_the_database_has_what_it_needs(waiting: Processes, empty_database_url: str) -> None:
    apply_until(empty_database_url, "0003")
    waiting.start("closer")
    wait_until(lambda: lines(waiting, "closer", "in_trouble"), "it says what it waits for")
    trouble = lines(waiting, "closer", "in_trouble")[0]["trouble"]
    assert trouble == f"schema {latest()} needed, it is at 0003_request: run panda-fsm migrate"
    assert not lines(waiting, "closer", "serving")
    migrate(empty_database_url)
    wait_until(lambda: lines(waiting, "closer", "serving"), "it serves")
    assert lines(waiting, "closer", "well_again")
    database = Database(empty_database_url)
    wait_until(lambda: database.rows("SELECT FROM process WHERE service = 'closer'"), "it shows itself")
    waiting.stop("closer")
    assert database.rows("SELECT FROM process") == []
    database.close()


def test_a_step_that_the_database_does_not_know_is_waited_for(processes: Processes, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("DELETE FROM job_transition WHERE event = 'lost' AND source = 'running'")
    processes.start("closer")
    wait_until(lambda: lines(processes, "closer", "in_trouble"), "it says what it waits for")
    migrate(database_url)
    wait_until(lambda: lines(processes, "closer", "serving"), "it serves")


def test_a_newer_schema_is_fine(processes: Processes, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("INSERT INTO schema_version (version, checksum) VALUES ('9999_of_tomorrow', '')")
    processes.start("closer")
    wait_until(lambda: lines(processes, "closer", "serving"), "it serves")


def apply_until(database_url: str, last: str) -> None:
    """The migrations up to this number, as a program of that time made them."""
    with psycopg.connect(database_url) as connection:
        connection.execute(
            "CREATE TABLE schema_version (version text PRIMARY KEY, checksum text NOT NULL,"
            " applied_at timestamptz NOT NULL DEFAULT now())"
        )
        for path in migrations():
            if path.stem[:4] <= last:
                checksum = hashlib.sha256(path.read_bytes()).hexdigest()
                connection.execute(path.read_bytes())
                connection.execute("INSERT INTO schema_version VALUES (%s, %s)", (path.stem, checksum))
