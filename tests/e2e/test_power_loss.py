"""Everything stops at once, or a part of it for a while: power loss, and processes that sleep."""

from __future__ import annotations

import pytest

from lab.services import Services
from tests.crowd import Crowd
from tests.driver import Database, Driver
from tests.e2e.conftest import CONSUMERS, ENGINE
from tests.e2e.test_chaos import jobs, made_to_fail, outcome
from tests.faults import asleep, consumers, minute_passes, power_loss
from tests.invariants import Listener, check_all, wait_for_end
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

SLEEPY = 150


def test_power_loss_of_database_and_broker_loses_nothing_that_was_acknowledged(
    processes: Processes, crowd: Crowd, services: Services, database: Database, broker_url: str, listener: Listener
) -> None:
    for name in (*ENGINE, "gateway"):
        processes.start(name)
    processes.wait_until_ready()
    with crowd:
        crowd.get_going(40)
        crowd.during(lambda: power_loss(services))
        minute_passes(database)
        crowd.wait_for_end(database)
    check_all(database, broker_url, listener, crowd.expected(database))


@pytest.mark.timeout(300)
def test_services_that_sleep_hold_up_nobody_and_do_no_harm_when_they_wake(
    engine: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    """One process of each service falls asleep in the middle of its work; another one is there.

    They sleep until all is done, not for a minute: what they had in hand among it, so the broker and the database have
    given them up by then, and they wake up to connections that are gone.
    """
    names = [engine_name for engine_name in ENGINE if engine_name != "daemon"]
    for name in names:
        engine.start(name, name=f"{name}-2")
    wait_until(lambda: all(consumers(broker_url).get(name) == 2 for name in CONSUMERS), "two consumers a queue")
    drafts = jobs(SLEEPY)
    driver.fails = made_to_fail
    with driver.pilots():
        driver.submit(drafts[: SLEEPY // 2], bunch=5)
        with asleep(engine, names):
            driver.submit(drafts[SLEEPY // 2 :], bunch=5)
            # 30 s until the broker gives a sleeper up, 60 s until the database does, and a last delay of a minute.
            wait_for_end(driver.database, SLEEPY, timeout_s=200)
        check_all(driver.database, broker_url, listener, outcome(drafts))
    more = jobs(50, SLEEPY + 1)
    with driver.pilots():
        driver.submit(more, bunch=5)
        wait_for_end(driver.database, SLEEPY + len(more))
    check_all(driver.database, broker_url, listener, outcome([*drafts, *more]))
