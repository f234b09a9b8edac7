"""No job is lost: processes killed, services restarted, queues deleted, messages doubled and shuffled."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any

import pika
import pytest

from broker.topology import queues
from lab.services import Services
from panda_fsm.jobs.drafts import JobDraft
from tests import factories
from tests.driver import Driver
from tests.e2e.conftest import ENGINE
from tests.faults import command, delete_queues
from tests.invariants import Listener, Repeater, check_all, depths, wait_for_end, waiting
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

JOBS = 500


def made_to_fail(job_id: int) -> bool:
    """Every 25th job's payload fails."""
    return job_id % 25 == 0


def jobs(count: int = JOBS, first: int = 1, **fields: Any) -> list[JobDraft]:
    """Jobs numbered from `first`."""
    return [factories.draft(job_id, **fields) for job_id in range(first, first + count)]


def outcome(drafts: list[JobDraft]) -> dict[int, str]:
    """The right end of each job."""
    return {draft.job_id: "failed" if made_to_fail(draft.job_id) else "finished" for draft in drafts}


def flow(driver: Driver, drafts: list[JobDraft], troubles: list[Callable[[], object]]) -> None:
    """Submit the jobs evenly between the troubles, with pilots at work, and wait until all jobs are final."""
    driver.fails = made_to_fail
    share = -(-len(drafts) // (len(troubles) + 1))
    with driver.pilots():
        for number in range(len(troubles) + 1):
            driver.submit(drafts[number * share : (number + 1) * share], bunch=10)
            time.sleep(random.uniform(0.0, 0.2))  # so that trouble comes at any stage of the work
            if number < len(troubles):
                troubles[number]()
        wait_for_end(driver.database, len(drafts))


def crash(processes: Processes, name: str) -> Callable[[], object]:
    """Kill -9, and start again."""

    def trouble() -> None:
        processes.kill(name)
        processes.restart(name)

    return trouble


def test_every_service_is_killed_again_and_again(
    engine: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    drafts = jobs()
    flow(driver, drafts, [crash(engine, name) for _ in range(3) for name in ENGINE])
    check_all(driver.database, broker_url, listener, outcome(drafts))


def test_services_are_killed_while_files_move_there_and_back(
    engine: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    drafts = []
    for job_id in range(1, 101):
        lfn = f"in.{job_id % 10}.csv" if job_id % 2 else f"in.{job_id}.csv"  # some share an input, most do not
        factories.store_file(engine.lab.source_storage, lfn)
        drafts.append(factories.draft(job_id, inputs=(lfn,), destination=factories.SOURCE_STORAGE))
    moving = ("ddm", "activator", "adder", "finisher", "closer", "setupper")
    flow(driver, drafts, [crash(engine, name) for _ in range(2) for name in moving])
    check_all(driver.database, broker_url, listener, outcome(drafts))
    for draft in drafts:
        if not made_to_fail(draft.job_id):
            for lfn in factories.output_lfns(draft.job_id):
                assert factories.store_path(engine.lab.source_storage, lfn).read_bytes() == factories.CONTENT


def test_rabbitmq_is_restarted(
    engine: Processes, services: Services, driver: Driver, listener: Listener, broker_url: str
) -> None:
    drafts = jobs()
    flow(driver, drafts, [services.rabbitmq.restart])
    check_all(driver.database, broker_url, listener, outcome(drafts))


def test_postgresql_is_restarted_and_crashes(
    engine: Processes, services: Services, driver: Driver, listener: Listener, broker_url: str
) -> None:
    def crash_it() -> None:
        services.postgres.kill()
        services.postgres.start()

    drafts = jobs()
    flow(driver, drafts, [services.postgres.restart, crash_it, services.postgres.restart])
    check_all(driver.database, broker_url, listener, outcome(drafts))


def test_every_message_comes_twice_and_once_more_when_all_is_over(
    engine: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    drafts = jobs()
    with Repeater(broker_url) as repeater:
        flow(driver, drafts, [])
        check_all(driver.database, broker_url, listener, outcome(drafts))
        everything = list(repeater.seen)
        assert len(everything) > 8 * JOBS
        repeater.late(everything)
        check_all(driver.database, broker_url, listener, outcome(drafts))


def shuffle(broker_url: str) -> int:
    """Take all messages out of every queue and put them back in random order; returns how many that were."""
    moved = 0
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        for queue in queues():
            taken = waiting(channel, queue.name)
            random.shuffle(taken)
            for _, properties, body in taken:
                channel.basic_publish("", queue.name, body, properties)
            for method, _, _ in taken:
                channel.basic_ack(method.delivery_tag or 0)
            moved += len(taken)
    return moved


def test_messages_are_shuffled(processes: Processes, driver: Driver, listener: Listener, broker_url: str) -> None:
    """One service at a time, so that all messages of its kind pile up and are shuffled before they are read."""
    database, drafts, moved = driver.database, jobs(), 0
    driver.fails = made_to_fail

    def until(service: str, query: str) -> None:
        nonlocal moved
        moved += shuffle(broker_url)
        processes.start(service)
        wait_until(lambda: database.value(query) == JOBS, query)
        processes.stop(service)

    processes.start("relay")
    driver.submit(drafts, bunch=10)
    until("setupper.submissions", "SELECT count(*) FROM job")
    until("setupper", "SELECT count(*) FROM job WHERE state = 'activated'")
    with driver.pilots():
        wait_until(lambda: depths(broker_url).get("watcher", 0) == 3 * JOBS, "all reports")
    until("watcher", "SELECT count(*) FROM job WHERE state = 'holding'")
    until("adder", "SELECT count(*) FROM job WHERE verdict IS NOT NULL")
    until("finisher", "SELECT count(*) FROM job WHERE state IN ('finished', 'failed')")
    moved += shuffle(broker_url)
    assert moved > 6 * JOBS
    for service in ("closer", "ddm.blocks"):
        processes.start(service)
    for service in ("setupper.submissions", "setupper", "watcher", "adder", "finisher"):
        processes.restart(service)  # on a busy machine a message may have come again after its service was stopped
    check_all(database, broker_url, listener, outcome(drafts))


def test_queues_are_deleted_and_events_replayed(
    processes: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    """At the deletion jobs are defined, assigned, holding with and without verdict, and transferring."""
    driver.fails = made_to_fail
    database, home = driver.database, factories.SOURCE_STORAGE
    factories.store_file(processes.lab.source_storage, "far.csv")
    moving, added, held = jobs(100, 1, destination=home), jobs(100, 101), jobs(100, 201)
    assigned, defined = jobs(100, 301, inputs=("far.csv",)), jobs(100, 401)

    def run(drafts: list[JobDraft], state: str, count: int) -> None:
        driver.submit(drafts)
        with driver.pilots():
            wait_until(lambda: database.states().get(state, 0) >= count, f"{count} jobs {state}")

    for name in ("setupper", "setupper.submissions", "watcher", "adder", "relay"):
        processes.start(name)
    run(moving, "transferring", 96)
    run(added, "holding", 104)
    wait_until(lambda: database.value("SELECT count(*) FROM job WHERE verdict IS NULL") == 96, "verdicts")
    processes.stop("adder")
    run(held, "holding", 204)
    driver.submit(assigned)
    wait_until(lambda: database.states().get("assigned", 0) == 100, "assigned jobs")
    processes.stop("setupper")
    processes.start("setupper", name="slow", PANDA_FSM_BATCH_SIZE="1")
    driver.submit(defined, bunch=100)
    wait_until(lambda: database.states().get("defined", 0) > 0, "defined jobs")
    assert delete_queues(broker_url) > 300
    for name in ("activator", "closer", "finisher", "ddm", "ddm.blocks", "daemon"):
        processes.start(name)
    processes.restart("adder")
    command(processes, "replay")
    drafts = [*moving, *added, *held, *assigned, *defined]
    with driver.pilots():
        wait_for_end(database, len(drafts))
    check_all(database, broker_url, listener, outcome(drafts))
