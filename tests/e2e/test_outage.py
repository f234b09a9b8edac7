"""Hours in which nobody was there, by a moved clock; and a database that is not as the programs need it."""

from __future__ import annotations

from pathlib import Path

import pytest

from panda_fsm.jobs.facts import FACTS, HEARTBEAT_PERIOD_S
from panda_fsm.jobs.states import State
from tests import factories
from tests.driver import Driver
from tests.e2e.conftest import ENGINE
from tests.e2e.test_chaos import jobs, made_to_fail, outcome
from tests.faults import age, command
from tests.gateway_http import Caller
from tests.integration.test_migrate import older
from tests.invariants import Listener, check_all, check_jobs, dead_letters, wait_for_end
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

HEARTBEAT = FACTS[State.RUNNING].deadlines[0]
LONG_S = 3 * 3600
ANSWERING = (*ENGINE, "gateway")
"""Nobody reads the queue of heartbeats: that a pilot was heard is known from whoever answered it."""
ACQUIRE, UPDATE = "/api/v1/pilot/acquire_jobs", "/api/v1/pilot/update_job"


def acquire(pilot: Caller, n_jobs: int) -> list[int]:
    """The PandaIDs of the jobs that a pilot found."""
    asked = {"site_name": factories.QUEUE, "prod_source_label": "user", "n_jobs": n_jobs}
    return [job["PandaID"] for job in pilot.post(ACQUIRE, asked)["data"]["jobs"]]


def report(pilot: Caller, job_ids: list[int], state: str) -> None:
    """What the pilots of the jobs say, each answered well."""
    for job_id in job_ids:
        message = factories.report(job_id, state)
        told = {"job_id": job_id, "attempt_nr": 0, "job_status": state, **message.attributes}
        answer = pilot.post(UPDATE, told | {"job_output_report": message.output_report or ""})
        assert answer["data"]["command"] == "NULL", answer


def test_an_outage_longer_than_the_heartbeat_deadline_fails_nobody_who_was_only_unheard(
    processes: Processes, driver: Driver
) -> None:
    for name in ANSWERING:
        processes.start(name)
    processes.wait_until_ready()
    database, pilot = driver.database, Caller(processes.gateway_url, "pilot")
    driver.submit(jobs(30))
    wait_until(lambda: database.states() == {"activated": 30}, "activated jobs")
    found = acquire(pilot, 30)
    finishing, speaking, silent = found[:10], found[10:20], found[20:]
    report(pilot, found, "running")
    wait_until(lambda: database.states() == {"running": 30}, "running jobs")
    for name in ANSWERING:
        processes.kill(name)

    assert HEARTBEAT.seconds < LONG_S
    age(database, LONG_S)
    for name in ANSWERING:
        processes.restart(name)
    processes.wait_until_ready()
    looked = "SELECT count(*) FROM job_deadline WHERE deadline_at > now()"
    wait_until(lambda: database.value(looked) == 30, "a look at each job's deadline")
    report(pilot, speaking, "running")
    report(pilot, finishing, "finished")
    wait_until(lambda: database.states() == {"running": 20, "finished": 10}, "the finished jobs finished")
    assert database.value("SELECT count(*) FROM pulse WHERE grace_until > now()") > 0

    age(database, HEARTBEAT_PERIOD_S + 60, [*speaking, *silent])
    database.execute("UPDATE pulse SET grace_until = now()")
    wait_until(lambda: database.states() == {"running": 10, "finished": 10, "failed": 10}, "the silent ones lost")
    lost = database.rows("SELECT job_id FROM job WHERE state = 'failed' AND errors::text LIKE '%lost heartbeat%'")
    assert sorted(job_id for (job_id,) in lost) == sorted(silent)

    report(pilot, speaking, "finished")
    wait_for_end(database, 30)
    check_jobs(database, dict.fromkeys([*finishing, *speaking], "finished") | dict.fromkeys(silent, "failed"))
    assert dead_letters(database) == []
    pilot.close()


def test_programs_that_are_newer_than_the_schema_wait_and_bury_nothing(
    empty_database_url: str, broker_url: str, run_dir: Path, listener: Listener
) -> None:
    older(empty_database_url, 3)
    processes = Processes(run_dir, empty_database_url, broker_url)
    driver = Driver(empty_database_url, broker_url, processes.lab.queue_storage)
    factories.store_file(processes.lab.queue_storage, factories.INPUT)
    database, drafts = driver.database, jobs(120)
    try:
        for name in ENGINE:
            processes.start(name)
        driver.submit(drafts[:40], bunch=10)
        wait_until(lambda: all("panda-fsm migrate" in processes.log(name) for name in ENGINE), "all wait for it")
        assert "panda-fsm migrate" in command(processes, "health", "--json", expect=1)
        assert database.value("SELECT count(*) FROM job") == 0

        command(processes, "migrate")
        driver.fails = made_to_fail
        with driver.pilots():
            driver.submit(drafts[40:80], bunch=10)
            wait_until(lambda: database.states().get("finished", 0) > 20, "jobs that flow")

            # Somebody changes the schema under the running programs, and changes it back.
            database.execute("ALTER TABLE job RENAME COLUMN verdict TO judgement")
            driver.submit(drafts[80:], bunch=10)
            in_trouble = "SELECT count(*) FROM process WHERE trouble LIKE '%verdict%'"
            wait_until(lambda: database.value(in_trouble) > 0, "a service that says what it waits for")
            database.execute("ALTER TABLE job RENAME COLUMN judgement TO verdict")
            wait_for_end(database, len(drafts))
        check_all(database, broker_url, listener, outcome(drafts))
        wait_until(lambda: database.value("SELECT count(*) FROM process WHERE trouble IS NOT NULL") == 0, "all is well")
    finally:
        print(processes.log_tails())
        driver.close()
        processes.close()
