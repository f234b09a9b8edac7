"""The relay, the clock, the delay queues and the end of a process, with real processes on a real broker."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from consumers.watcher import Watcher
from panda_fsm.events import REQUESTS
from panda_fsm.states import State
from tests import factories
from tests.driver import Database, Driver
from tests.inprocess import Outlet, Serve, put, steps
from tests.integration.test_process import Creator
from tests.invariants import dead_letters, depths
from tests.polling import wait_until
from tests.processes import PROGRAM, ROOT, Processes

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


def panda_fsm(processes: Processes, *arguments: str, code: int = 0) -> str:
    """Run the command as an operator does."""
    command = [str(PROGRAM), *arguments]
    done = subprocess.run(command, env=processes.environment, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == code, done.stdout + done.stderr
    assert "Traceback" not in done.stderr
    return done.stdout


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
    serve(Watcher(), silent).handle(*(factories.report(number, "failed") for number in IDS))
    assert sent.states() == {"holding": JOBS}
    for name in ("adder", "finisher", "relay"):
        processes.start(name)
    wait_until(lambda: sent.states() == {"failed": JOBS}, "failed jobs")
    wait_until(lambda: sent.value("SELECT count(*) FROM outbox") == 0, "an empty outbox")
    events = ["submitted", "pilot_ended", "outputs_failed"]
    assert all([event for _, event in steps(sent, number)] == events for number in IDS)


def test_two_relays_share_the_outbox_and_the_clock(serve: Serve, sent: Database, processes: Processes) -> None:
    serve(Watcher(), Outlet(silent=True)).handle(*(factories.report(number, "running") for number in IDS))
    overdue(sent)
    processes.start("watcher")
    for name in ("relay", "relay2"):
        processes.start("relay", name=name)
    wait_until(lambda: sent.states() == {"failed": JOBS}, "lost jobs")
    wait_until(lambda: sent.value("SELECT count(*) FROM outbox") == 0, "an empty outbox")
    assert all(len(steps(sent, number)) == 3 for number in IDS)
    assert dead_letters(sent) == []


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


ENDS = {
    "sent": ("failed", 102), "starting": ("failed", 100), "running": ("failed", 100), "holding": ("failed", 103),
    "transferring": ("failed", 104), "defined": ("closed", None), "activated": ("closed", None),
}  # fmt: skip


def test_a_deadline_ends_the_job_by_what_it_waited_for(sent: Database, processes: Processes) -> None:
    for number, state in enumerate(ENDS, start=1):
        put(sent, [number], State(state))
    put(sent, range(len(ENDS) + 1, JOBS + 1), State.FINISHED)
    processes.start("watcher")
    processes.start("relay")
    overdue(sent)
    wait_until(lambda: sent.states() == {"failed": 5, "closed": 2}, "ended jobs, and archived those that were")
    assert errors_of(sent) == list(ENDS.values())
    assert sent.rows("SELECT DISTINCT status FROM job_file WHERE type IN ('output', 'log')") == [("failed",)]
    assert sent.value("SELECT count(*) FROM job_archive") == JOBS - len(ENDS)


def test_deadlines_can_be_set_and_a_heartbeat_in_time_keeps_the_job(
    sent: Database, processes: Processes, driver: Driver
) -> None:
    """Every other job is silent after its first report; the others report on until those are lost."""
    short = json.dumps({"running": 3})
    for name in ("watcher", "watcher.heartbeats"):
        processes.start(name, PANDA_FSM_DEADLINES=short)
    processes.start("relay", PANDA_FSM_DEADLINES=short)
    driver.publish(factories.report(number, "running") for number in IDS)
    alive = [number for number in IDS if number % 2]

    def lost() -> bool:
        driver.publish(factories.report(number, "running", heartbeat=True) for number in alive)
        return sent.states().get("failed", 0) >= JOBS // 2

    wait_until(lost, "the silent jobs lost")
    assert errors_of(sent) == [("running", None) if number in alive else ("failed", 100) for number in IDS]


def test_holding_with_a_pending_report_is_not_failed(sent: Database, processes: Processes, driver: Driver) -> None:
    processes.start("watcher")
    processes.start("relay")
    driver.publish([factories.report(1, "finished"), factories.report(2, "holding")])
    wait_until(lambda: sent.states().get("holding") == 2, "holding jobs")
    overdue(sent)
    query = "SELECT deadline_at > now() + interval '1 hour' FROM job WHERE job_id = 1"
    wait_until(lambda: sent.value(query), "the deadline put off")
    wait_until(lambda: sent.states() == {"failed": JOBS - 1, "holding": 1}, "the others failed")


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


def test_dead_letters_can_be_listed_replayed_and_discarded(
    sent: Database, processes: Processes, driver: Driver, broker_url: str
) -> None:
    """An operator's way: look, mend the cause, send again; what can never be sent again is discarded."""
    put(sent, [1], State.ACTIVATED)
    for name in ("watcher", "relay"):
        processes.start(name)
    driver.publish([factories.report(1, "running")])
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().basic_publish(REQUESTS, "kill", b"\xff\x00")
    wait_until(lambda: len(dead_letters(sent)) == 2, "dead letters")
    listed = [json.loads(line) for line in panda_fsm(processes, "dead-letters", "list", "--json").splitlines()]
    good, garbage = sorted(listed, key=lambda letter: "schema" in letter["reason"])
    put(sent, [1], State.SENT)
    panda_fsm(processes, "dead-letters", "replay", str(garbage["dead_letter_id"]), code=2)
    panda_fsm(processes, "dead-letters", "replay", str(good["dead_letter_id"]))
    wait_until(lambda: sent.states().get("running") == 1, "the job that was reported")
    panda_fsm(processes, "dead-letters", "discard", str(garbage["dead_letter_id"]))
    assert panda_fsm(processes, "dead-letters", "list").strip() == "no dead letters"
    assert sent.rows("SELECT action FROM audit ORDER BY audit_id") == [
        ("dead_letter_replayed",), ("dead_letter_discarded",)
    ]  # fmt: skip
