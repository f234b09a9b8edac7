"""Relay and daemon as processes, the delay queues, and the end of a process, on a real broker."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import pytest

from consumers.watcher import Watcher
from panda_fsm.jobs.states import State
from tests import factories
from tests.driver import Database, Driver
from tests.inprocess import LIMITS, Outlet, Serve, put, steps
from tests.integration.test_process import Creator
from tests.invariants import dead_letters, depths
from tests.polling import wait_until
from tests.processes import Processes

JOBS = 20
IDS = range(1, JOBS + 1)


@pytest.fixture
def driver(database_url: str, broker_url: str, processes: Processes) -> Iterator[Driver]:
    """Publishes requests."""
    playing = Driver(database_url, broker_url, processes.lab.queue_storage)
    yield playing
    playing.close()


@pytest.fixture
def sent(serve: Serve, database: Database) -> Database:
    """Jobs 1..20, handed out to pilots; nobody was told."""
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in IDS)))
    put(database, IDS, State.SENT)
    return database


def overdue(database: Database) -> None:
    """Make all deadlines pass now."""
    for table in ("job", "job_deadline"):
        database.rows(f"UPDATE {table} SET deadline_at = now() - interval '1 s' RETURNING job_id")  # noqa: S608


def errors_of(database: Database) -> list[Any]:
    """State and error of each job."""
    return database.rows("SELECT state, errors -> 'job_dispatcher' -> 'code' FROM job ORDER BY job_id")


def test_relay_publishes_what_a_crash_left_behind(serve: Serve, sent: Database, processes: Processes) -> None:
    """Holding jobs whose events were never published: the Adder gets them, and the Finisher what the Adder left."""
    silent = Outlet(silent=True)
    serve(Watcher(LIMITS), silent).handle(*(factories.report(number, "failed") for number in IDS))
    assert sent.states() == {"holding": JOBS}
    for name in ("adder", "finisher", "relay"):
        processes.start(name)
    wait_until(lambda: sent.states() == {"failed": JOBS}, "failed jobs")
    wait_until(lambda: sent.value("SELECT count(*) FROM outbox") == 0, "an empty outbox")
    events = ["submitted", "pilot_ended", "outputs_failed"]
    assert all([event for _, event in steps(sent, number)] == events for number in IDS)


def test_two_of_each_share_the_outbox_and_the_appointments(serve: Serve, sent: Database, processes: Processes) -> None:
    serve(Watcher(LIMITS), Outlet(silent=True)).handle(*(factories.report(number, "running") for number in IDS))
    overdue(sent)
    processes.start("watcher")
    for name in ("relay", "daemon"):
        processes.start(name)
        processes.start(name, name=f"{name}2")
    wait_until(lambda: sent.states() == {"failed": JOBS}, "lost jobs")
    wait_until(lambda: sent.value("SELECT count(*) FROM outbox") == 0, "an empty outbox")
    assert all(len(steps(sent, number)) == 3 for number in IDS)
    assert dead_letters(sent) == []
    for name in ("daemon", "daemon2"):
        processes.stop(name)
        assert '"event": "stopped"' in processes.log(name)


def test_message_of_a_job_that_comes_later_returns_from_the_delay_queue(
    serve: Serve, database: Database, processes: Processes, driver: Driver, broker_url: str
) -> None:
    processes.start("watcher")
    driver.publish([factories.report(1, "running")])
    wait_until(lambda: depths(broker_url).get("panda.delay.1"), "the report in the delay queue")
    serve(Creator()).handle(factories.submit(factories.draft(1)))
    put(database, [1], State.SENT)
    wait_until(lambda: database.states() == {"running": 1}, "the running job")
    assert dead_letters(database) == []


def test_deadlines_can_be_set_and_a_heartbeat_in_time_keeps_the_job(
    sent: Database, processes: Processes, driver: Driver
) -> None:
    """Every other job is silent after its first report; the others report on until those are lost."""
    short = json.dumps({"running": 3})
    for name in ("watcher", "watcher.heartbeats", "daemon"):
        processes.start(name, PANDA_FSM_DEADLINES=short)
    processes.start("relay")
    driver.publish(factories.report(number, "running") for number in IDS)
    alive = [number for number in IDS if number % 2]

    def lost() -> bool:
        driver.publish(factories.report(number, "running", heartbeat=True) for number in alive)
        return sent.states().get("failed", 0) >= JOBS // 2

    wait_until(lost, "the silent jobs lost")
    assert errors_of(sent) == [("running", None) if number in alive else ("failed", 100) for number in IDS]


@pytest.mark.parametrize("copies", [1, 3])
def test_sigterm_finishes_the_batch_and_loses_nothing(
    serve: Serve, database: Database, processes: Processes, driver: Driver, broker_url: str, copies: int
) -> None:
    """Small batches, stopped in the middle: what was handled is acknowledged, the rest is in the queue again."""
    jobs = range(1, 1001)
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in jobs)))
    put(database, jobs, State.SENT)
    names = [f"watcher{number}" for number in range(copies)]
    for name in names:
        processes.start("watcher", name=name, PANDA_FSM_BATCH_SIZE="5")
    wait_until(lambda: all('"serving"' in processes.log(name) for name in names), "watchers that serve")
    driver.publish(factories.report(number, "running") for number in jobs)
    wait_until(lambda: database.states().get("running", 0) > 50, "the first jobs")
    for name in names:
        processes.stop(name)
        assert '"event": "stopped"' in processes.log(name)
    running = database.states().get("running", 0)
    left = wait_until(lambda: depths(broker_url).get("watcher"), "messages in the queue")
    assert running + left == len(jobs)
    assert 50 < running < len(jobs)
    for name in names:
        processes.restart(name)
    wait_until(lambda: database.states() == {"running": len(jobs)}, "all jobs")
    assert database.value("SELECT count(*) FROM job_history") == 2 * len(jobs)
