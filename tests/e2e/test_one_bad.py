"""One bad row, one locked job: the others flow."""

from __future__ import annotations

import json

import pytest

from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.messages import KillJob, Message, new_message_id
from tests import factories
from tests.driver import Database, Driver
from tests.e2e.conftest import ENGINE
from tests.e2e.test_chaos import jobs, made_to_fail, outcome
from tests.faults import held_rows
from tests.invariants import Listener, check_all, dead_letters, wait_for_end
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

JOBS = 100
LEFT_BEHIND = range(5001, 5021)


def leave_behind(database: Database, message: Message, exchange: str = "", **headers: str) -> None:
    """A row in the outbox, as a crash leaves it there."""
    database.execute(
        "INSERT INTO outbox (message_id, exchange, routing_key, body, headers, created_at)"
        " VALUES (%s, %s, %s, %s, %s, now() - interval '1 min')",
        (
            new_message_id(), exchange or message.exchange, message.routing_key, message.encode().decode(),
            json.dumps(headers) if headers else None,
        ),
    )  # fmt: skip


def test_rows_that_cannot_be_published_hold_up_no_others(
    engine: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    database = driver.database
    elsewhere = [factories.draft(job_id, site="LAB_A") for job_id in LEFT_BEHIND]
    driver.submit(elsewhere)
    wait_until(lambda: database.states() == {"activated": len(elsewhere)}, "jobs that nobody wants")
    poison = KillJob(job_id=LEFT_BEHIND[0])
    leave_behind(database, poison, reason="x" * 200_000)
    leave_behind(database, poison, exchange="panda.no_more")
    for job_id in LEFT_BEHIND:  # behind the poison, and only the relay knows of them
        leave_behind(database, KillJob(job_id=job_id, code=9))
    leave_behind(database, poison, exchange="panda.gone_too")

    driver.fails = made_to_fail
    drafts = jobs(JOBS)
    with driver.pilots():
        driver.submit(drafts, bunch=10)
        wait_for_end(database, len(drafts) + len(elsewhere))
    assert len(dead_letters(database)) < 3, "the others waited for the poison to be given up"
    wait_until(lambda: len(dead_letters(database)) == 3, "the poison given up", 60)
    reasons = " ".join(reason for _, reason in dead_letters(database))
    for words in ("more than a frame", "panda.no_more", "panda.gone_too"):
        assert words in reasons, reasons
    ends = outcome(drafts) | dict.fromkeys(LEFT_BEHIND, "cancelled")
    for job_id in LEFT_BEHIND:  # their outputs never were
        database.execute("UPDATE job_file SET status = 'failed', size = 0 WHERE job_id = %s", (job_id,))
    check_all(database, broker_url, listener, ends, dead=3)


def bring_to_their_waits(processes: Processes, driver: Driver) -> list[JobDraft]:
    """Job 1 waits for its input (assigned), job 2 runs, job 3 waits for its outputs (holding)."""
    arriving, running = factories.draft(1, inputs=("far.csv",)), factories.draft(2)
    holding = factories.draft(3, destination=factories.SOURCE_STORAGE)
    factories.store_file(processes.lab.source_storage, "far.csv")

    def reached(job_id: int, state: str) -> None:
        query = "SELECT state FROM job WHERE job_id = %s"
        wait_until(lambda: driver.database.rows(query, (job_id,)) == [(state,)], f"job {job_id} {state}")

    driver.submit([running, holding])
    reached(2, "activated")
    reached(3, "activated")
    assert sorted(driver.claim()) == [2, 3]
    driver.run([3])
    driver.publish(factories.report(2, state) for state in ("starting", "running"))
    driver.submit([arriving])
    reached(2, "running")
    reached(3, "holding")
    reached(1, "assigned")
    return [arriving, running, holding]


def test_locked_jobs_hold_up_no_others(
    processes: Processes, driver: Driver, listener: Listener, database_url: str, broker_url: str
) -> None:
    """One is locked before its inputs arrive, one while it runs, one before its outputs are added."""
    database, late = driver.database, ("activator", "adder")
    for name in ENGINE:
        if name not in late:
            processes.start(name)
    firsts = bring_to_their_waits(processes, driver)
    drafts = jobs(JOBS, 11)
    driver.fails = made_to_fail
    with driver.pilots():
        with held_rows(database_url, "SELECT job_id FROM job WHERE job_id = ANY(%s) FOR UPDATE", ([1, 2, 3],)):
            driver.run([2])
            for name in late:
                processes.start(name)
            driver.submit(drafts, bunch=10)
            wait_for_end(database, len(drafts))
            assert dict(database.rows("SELECT job_id, state FROM job WHERE job_id <= 3")) == {
                1: "assigned", 2: "running", 3: "holding",
            }  # fmt: skip
        wait_for_end(database, len(drafts) + 3)
    check_all(database, broker_url, listener, outcome([*firsts, *drafts]))
