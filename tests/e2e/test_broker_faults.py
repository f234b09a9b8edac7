"""The broker in trouble: alarms, queues that vanish with all that was in them, and come back too soon."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from broker.topology import queues
from lab.services import Services
from tests.crowd import Crowd
from tests.driver import Database
from tests.e2e.conftest import CONSUMERS, ENGINE
from tests.faults import consumers, delete_and_declare_queues, delete_queues, disk_alarm, memory_alarm, minute_passes
from tests.invariants import Listener, check_all
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

REMINDERS = '{"defined": 2, "assigned": 2, "holding": 2, "transferring": 2}'


def are_consumed(broker_url: str) -> bool:
    """Whether somebody takes from each queue."""
    found = consumers(broker_url)
    return all(found.get(name) for name in CONSUMERS)


def test_while_the_broker_is_blocked_requests_are_accepted_and_all_is_done_afterwards(
    processes: Processes, crowd: Crowd, services: Services, database: Database, broker_url: str, listener: Listener
) -> None:
    for name in (*ENGINE, "gateway"):
        processes.start(name)
    processes.wait_until_ready()
    activated = "SELECT job_id FROM job WHERE state = 'activated'"
    for alarm in (memory_alarm, disk_alarm):
        crowd.submit(12)
        wait_until(lambda: len(database.rows(activated)) == 12, "jobs that pilots may have")
        with alarm(services.rabbitmq), crowd:
            wait_until(lambda: crowd.journal.ended.keys() >= set(crowd.journal.accepted.values()), "pilots heard")
            crowd.submit(12)
        minute_passes(database)
        with crowd:
            crowd.wait_for_end(database)
    assert crowd.journal.answers.keys() == {200}, crowd.journal.answers
    assert crowd.journal.slowest_s < 10.0
    check_all(database, broker_url, listener, crowd.expected(database))


def test_queues_that_vanish_with_their_messages_heal_unattended(
    processes: Processes, crowd: Crowd, services: Services, database: Database, broker_url: str, listener: Listener
) -> None:
    """Deleted; deleted and declared again before their consumers hear of it; declared just before the broker dies."""
    for name in (*ENGINE, "gateway"):
        processes.start(name, PANDA_FSM_REMINDERS=REMINDERS)
    processes.wait_until_ready()

    def just_declared() -> None:
        delete_queues(broker_url)
        wait_until(lambda: len(consumers(broker_url)) == len(queues()), "queues declared again")
        services.rabbitmq.kill()
        services.rabbitmq.start()

    faults: list[Callable[[], object]] = [
        lambda: delete_queues(broker_url),
        lambda: delete_and_declare_queues(broker_url),
        just_declared,
    ]
    for fault in faults:
        with crowd:
            crowd.get_going(30)
            crowd.during(fault)
            # Ten seconds until a queue surely has no leader, and ten more whenever another such is in the way.
            wait_until(lambda: are_consumed(broker_url), "a consumer on each queue", 120)
            minute_passes(database)
            crowd.wait_for_end(database)
    processes.restart("daemon")  # it looks at open blocks every minute, and first at its start
    check_all(database, broker_url, listener, crowd.expected(database))
