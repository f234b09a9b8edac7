"""A network that lets nothing through, or nothing back: everybody notices in time, and goes on by himself.

The fault ends once it is noticed, not after a minute: until then nobody knows of it, and afterwards each has dropped
its connection and tries anew every few seconds, for as long as it goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from tests.crowd import Crowd
from tests.driver import Database
from tests.e2e.conftest import ENGINE
from tests.faults import minute_passes
from tests.invariants import Listener, check_all
from tests.polling import wait_until
from tests.processes import Processes
from tests.proxy import Proxy

pytestmark = pytest.mark.e2e

STATEMENT_TIMEOUT_S = 2
SLOWEST_ANSWER_S = 20.0
"""Most that anybody waits for an answer: for a connection, and for the limit of one call."""


def said(processes: Processes, names: Sequence[str], words: str) -> dict[str, int]:
    """How often each process has said it."""
    return {name: processes.log(name).count(words) for name in names}


def noticed(processes: Processes, names: Sequence[str], words: str) -> Callable[[], bool]:
    """Whether all of them have said it again since now."""
    before = said(processes, names, words)
    return lambda: all(now > before[name] for name, now in said(processes, names, words).items())


def test_a_network_that_loses_the_database(
    processes: Processes, crowd: Crowd, database: Database, database_url: str, broker_url: str, listener: Listener
) -> None:
    with Proxy(database_url) as proxy:
        for name in (*ENGINE, "gateway"):
            processes.start(
                name, PANDA_FSM_DATABASE_URL=proxy.url, PANDA_FSM_STATEMENT_TIMEOUT_S=str(STATEMENT_TIMEOUT_S)
            )
        processes.wait_until_ready()
        with crowd:
            for fault in (proxy.freeze, proxy.lose_replies):

                def trouble(fault: Callable[[], None] = fault) -> None:
                    # These look at the database every second; who has nothing to do need not notice.
                    all_know = noticed(processes, ("relay", "daemon"), "did not answer in time")
                    fault()
                    wait_until(all_know, "the database missed by those who ask it")
                    proxy.passes()

                crowd.get_going(30)
                crowd.during(trouble)
                processes.wait_until_ready()
            minute_passes(database)
            crowd.wait_for_end(database)
        check_all(database, broker_url, listener, crowd.expected(database))
    assert crowd.journal.slowest_s < SLOWEST_ANSWER_S
    assert crowd.journal.answers.keys() <= {200, 503}, crowd.journal.answers


def test_a_network_that_loses_the_broker(
    processes: Processes, crowd: Crowd, database: Database, broker_url: str, listener: Listener
) -> None:
    """For some nothing gets through, for some nothing comes back, some are not heard."""
    with Proxy(broker_url) as first, Proxy(broker_url) as second, Proxy(broker_url) as third:
        proxies = (first, second, third)
        names = (*ENGINE, "gateway")
        for number, name in enumerate(names):
            processes.start(name, PANDA_FSM_BROKER_URL=proxies[number % len(proxies)].url)
        processes.wait_until_ready()
        consuming = [name for name in names if name != "daemon"]

        def trouble() -> None:
            all_know = noticed(processes, consuming, '"broker_away"')
            first.freeze()
            second.lose_replies()
            third.lose_requests()
            wait_until(all_know, "the broker missed by all", 60)
            for proxy in proxies:
                proxy.passes()

        with crowd:
            crowd.get_going(30)
            crowd.during(trouble)
            processes.wait_until_ready()
            minute_passes(database)
            crowd.wait_for_end(database)
        check_all(database, broker_url, listener, crowd.expected(database))
    assert crowd.journal.slowest_s < SLOWEST_ANSWER_S
    assert crowd.journal.answers.keys() <= {200, 503}, crowd.journal.answers
