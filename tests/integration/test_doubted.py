"""What would be buried: a few bad ones at once, too many alike not, and what a newer gateway has kept never."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from consumers.watcher import Watcher
from engine.dead_letters import DeadLetters
from engine.process import Processor
from panda_fsm.errors import SystemicError
from panda_fsm.handler import Delivery
from panda_fsm.jobs.states import State
from panda_fsm.messages import AnyMessage, PilotReport
from panda_fsm.trouble import DOUBTED_FOR_S, IN_A_ROW, NEWER_FOR_S, SHOWN_FOR_S, STOPPED_FOR_S, Condition
from tests import factories
from tests.driver import Database
from tests.inprocess import LIMITS, InProcess, Serve, put
from tests.integration.test_process import IDS, JOBS, letters, sent

__all__ = ["sent"]

MANY = 40
NEWER: dict[str, Any] = {"state": "suspended"}
"""A value that this program does not know, of a gateway that is newer, in a schema that is not."""


def as_sent(message: AnyMessage, tag: int = 1, waited_s: float | None = None, **fields: Any) -> Delivery:
    """A delivery with a body that has other fields."""
    delivery = factories.delivery(message, tag=tag, routing_key=message.routing_key)
    delivery.body = json.dumps(json.loads(delivery.body) | fields).encode()
    delivery.waiting_since = None if waited_s is None else time.time() - waited_s
    return delivery


def reports(number: int = MANY, **fields: Any) -> list[Delivery]:
    """Reports on the jobs that there are."""
    wanted = (factories.report(tag % JOBS + 1, "running") for tag in range(number))
    return [as_sent(report, tag, **fields) for tag, report in enumerate(wanted, start=1)]


class Watched(InProcess):
    """A Watcher whose clock the test moves, and how it feels."""

    def __init__(self, database_url: str) -> None:
        super().__init__(database_url, Watcher(LIMITS))
        self.now = 0.0
        self.condition = Condition(clock=lambda: self.now)
        self.processor = Processor(
            Watcher(LIMITS), self.store, self.outlet, 5, clock=lambda: self.now, condition=self.condition
        )

    def put_off(self) -> int:
        """How many messages went through a delay queue since this was asked last."""
        number = sum(message.headers is not None for message in self.outlet.taken)
        self.outlet.taken.clear()
        return number


@pytest.fixture
def watcher(sent: Database, database_url: str) -> Any:
    """At work on jobs that are with pilots."""
    one = Watched(database_url)
    yield one
    one.close()


def test_many_alike_stop_the_process_and_then_wait_while_others_come_through(watcher: Watched, sent: Database) -> None:
    bad = reports(**NEWER)
    for _ in range(2):
        with pytest.raises(SystemicError, match="all alike: not a message of schema 2"):
            watcher.processor.handle(bad)
    assert letters(sent) == []
    watcher.now = STOPPED_FOR_S
    watcher.processor.handle(bad)
    assert (watcher.put_off(), letters(sent)) == (MANY, [])
    assert "pilot_report.state" in str(watcher.condition.trouble)
    watcher.processor.handle([as_sent(factories.report(1, "running"))])
    assert sent.states() == {"running": 1, "sent": JOBS - 1}
    watcher.processor.handle(bad)
    assert (watcher.put_off(), letters(sent)) == (MANY, []), "it does not stop again for the same"
    watcher.now += SHOWN_FOR_S + 1
    assert watcher.condition.trouble is None
    watcher.processor.handle(reports(waited_s=DOUBTED_FOR_S, **NEWER))
    assert len(letters(sent)) == MANY


def test_when_the_cause_is_gone_they_are_handled(watcher: Watched, sent: Database) -> None:
    """Here: their jobs are where they should be."""
    put(sent, IDS, State.ACTIVATED)
    early = reports(JOBS)
    with pytest.raises(SystemicError, match="not possible in state activated"):
        watcher.processor.handle(early)
    put(sent, IDS, State.SENT)
    watcher.processor.handle(early)
    assert (sent.states(), letters(sent)) == ({"running": JOBS}, [])


def test_a_few_alike_are_buried_at_once(watcher: Watched, sent: Database) -> None:
    watcher.processor.handle(reports(IN_A_ROW - 1, **NEWER))
    assert len(letters(sent)) == IN_A_ROW - 1


def test_many_among_good_ones_are_buried_at_once(watcher: Watched, sent: Database) -> None:
    good = as_sent(factories.report(1, "running"), MANY + 1)
    watcher.processor.handle([*reports(**NEWER), good])
    assert (len(letters(sent)), watcher.put_off()) == (MANY, 0)


def test_what_can_be_nobodys_message_is_buried_at_once(watcher: Watched, sent: Database) -> None:
    garbage = [Delivery(tag, b'{"number": %d' % tag, "watcher") for tag in range(MANY)]
    watcher.processor.handle(garbage)
    assert len(letters(sent)) == MANY


def test_burying_is_what_the_service_of_dead_letters_is_for(serve: Serve, sent: Database) -> None:
    keeper = serve(DeadLetters())
    keeper.processor.handle([*reports(), *reports(**NEWER), *reports(schema_version=3)])
    assert (len(letters(sent)), keeper.outlet.taken) == (3 * MANY, [])


@pytest.mark.parametrize("fields", [{"schema_version": 3}, NEWER])
def test_a_kept_request_that_only_a_newer_program_can_read_waits_as_long_as_it_is_kept(
    watcher: Watched, sent: Database, fields: dict[str, Any]
) -> None:
    """Its gateway could read it. The relay need not send it meanwhile, and a program that can read it handles it."""
    report = factories.report(1, "running")
    newer = as_sent(report, waited_s=2 * NEWER_FOR_S, **fields)
    query = "INSERT INTO request (message_id, routing_key, body, sent_at) VALUES (%s, %s, %s, 'epoch') RETURNING 1"
    sent.rows(query, (report.message_id, report.routing_key, newer.body.decode()))
    good = as_sent(factories.report(2, "running"), 2)
    watcher.processor.handle([newer, good])
    assert (watcher.put_off(), letters(sent)) == (1, [])
    assert sent.value("SELECT sent_at > now() FROM request")
    assert "messages that wait" in str(watcher.condition.trouble)
    watcher.processor.handle([as_sent(PilotReport.model_validate_json(report.encode()))])
    assert sent.value("SELECT count(*) FROM request") == 0
    watcher.processor.handle([newer])
    assert len(letters(sent)) == 1, "nobody keeps it any longer"
