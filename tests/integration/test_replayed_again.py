"""A replay says which dead letter it was, on all its ways, so that it is known when it dies again."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pika
import pytest

from broker.publish import BrokerPublisher
from consumers.watcher import Watcher
from engine.dead_letters import DeadLetters
from engine.outbox import Relay
from panda_fsm.bindings import DEAD_LETTERS
from panda_fsm.handler import REPLAY_OF
from panda_fsm.trouble import UNKNOWN_FOR_S, Condition
from panda_fsm.views.dead_letters import Choice, Deed
from sql.dead_letters import DeadLetterBox
from sql.outbox import OutboxStore
from tests import factories
from tests.broker_side import Consuming, channel_of, put, waiting
from tests.driver import Database
from tests.inprocess import LIMITS, Serve
from tests.integration.test_process import waited
from tests.polling import wait_until

LINEAGE = "SELECT dead_letter_id, replay_of, times_replayed, status FROM dead_letter ORDER BY 1"


@pytest.fixture
def publisher(broker_url: str) -> Iterator[BrokerPublisher]:
    """It declares everything, too."""
    one = BrokerPublisher(broker_url, "test")
    one.start()
    assert one.ready.wait(30)
    yield one
    one.stop()


@pytest.fixture
def box(database_url: str) -> Iterator[DeadLetterBox]:
    """What operators do with them."""
    one = DeadLetterBox(database_url)
    yield one
    one.close()


def replayed(box: DeadLetterBox, letter_id: int) -> None:
    """One letter is replayed."""
    assert box.settle(Choice([letter_id]), "replayed", Deed("me")).letters == 1


def test_the_header_is_believed_of_who_may_write_into_queues(broker_url: str, publisher: BrokerPublisher) -> None:
    """Straight into a queue, and out of a delay. From who writes to an exchange it is a word like any other."""
    replay = {REPLAY_OF: "204", "key": "kill"}
    put(broker_url, "watcher", b"replay", headers=replay)
    put(broker_url, "watcher", b"none", headers={REPLAY_OF: "0x1"})
    with channel_of(broker_url) as channel:
        properties = pika.BasicProperties(headers=replay)
        channel.basic_publish("panda.requests", "kill", b"forged", properties)
        channel.basic_publish("panda.delay.1", "watcher", b"delayed", properties)
    with Consuming(broker_url) as consuming:
        wait_until(lambda: len(consuming.bodies) == 4, "all are handled")
    found = {one.body: (one.replay_of, one.routing_key) for one in consuming.handled}
    assert found == {
        b"replay": (204, "kill"), b"none": (None, "watcher"), b"forged": (None, "kill"), b"delayed": (204, "kill")
    }  # fmt: skip


def test_so_it_is_when_the_broker_gives_up(broker_url: str, publisher: BrokerPublisher) -> None:
    put(broker_url, "watcher", b"replay", headers={REPLAY_OF: "204"})
    with channel_of(broker_url) as channel:
        channel.basic_publish("panda.requests", "kill", b"forged", pika.BasicProperties(headers={REPLAY_OF: "204"}))
    wait_until(lambda: waiting(broker_url, "watcher") == 2, "both are there")
    with channel_of(broker_url) as channel:
        for _ in range(2):
            method, _, _ = channel.basic_get("watcher")
            assert method is not None
            channel.basic_reject(method.delivery_tag or 0, requeue=False)
    with Consuming(broker_url, DEAD_LETTERS) as dead:
        wait_until(lambda: len(dead.bodies) == 2, "both are given up")
    assert {one.body: one.replay_of for one in dead.handled} == {b"replay": 204, b"forged": None}


def test_a_replay_that_dies_again_is_linked_and_counted(serve: Serve, database: Database, box: DeadLetterBox) -> None:
    watcher, report = serve(Watcher(LIMITS)), factories.report(1, "running")
    watcher.handle(report, **waited(UNKNOWN_FOR_S), queue="watcher")
    replayed(box, 1)
    headers = "SELECT exchange, routing_key, headers FROM outbox"
    assert database.rows(headers) == [("", "watcher", {REPLAY_OF: "1", "key": "report.running"})]
    watcher.handle(report, replay_of=1, queue="watcher")
    (put_off,) = watcher.outlet.taken
    assert put_off.headers is not None
    assert put_off.headers[REPLAY_OF] == "1"
    watcher.handle(report, **waited(UNKNOWN_FOR_S), replay_of=1, queue="watcher")
    replayed(box, 2)
    watcher.handle(report, **waited(UNKNOWN_FOR_S), replay_of=2, queue="watcher")
    assert database.rows(LINEAGE) == [(1, None, 0, "replayed"), (2, 1, 1, "replayed"), (3, 2, 2, "open")]


@pytest.mark.parametrize("claimed", [1, 999, 10**17])
def test_what_only_says_that_it_is_a_replay_is_a_letter_like_others(
    serve: Serve, database: Database, claimed: int
) -> None:
    """The letter 1 is open: nobody replayed it."""
    watcher = serve(Watcher(LIMITS))
    for replay_of in (None, claimed):
        watcher.handle(factories.report(1, "running"), **waited(UNKNOWN_FOR_S), replay_of=replay_of)
    assert database.rows(LINEAGE) == [(1, None, 0, "open"), (2, None, 0, "open")]


def test_a_replay_that_the_broker_gave_up_on_is_linked(serve: Serve, database: Database, box: DeadLetterBox) -> None:
    service = serve(DeadLetters())
    how: dict[str, Any] = {"queue": "watcher", "headers": {"x-first-death-queue": "watcher"}}
    service.handle(factories.report(1, "running"), **how)
    replayed(box, 1)
    service.handle(factories.report(1, "running"), replay_of=1, **how)
    assert database.rows(LINEAGE) == [(1, None, 0, "replayed"), (2, 1, 1, "open")]


def test_a_replay_that_no_broker_takes_is_linked(
    database_url: str, database: Database, box: DeadLetterBox, serve: Serve, publisher: BrokerPublisher
) -> None:
    watcher = serve(Watcher(LIMITS))
    watcher.handle(factories.report(1, "running"), **waited(UNKNOWN_FOR_S), queue="watcher")
    replayed(box, 1)
    database.execute("UPDATE outbox SET tries = 5, created_at = now() - interval '1 hour', routing_key = 'gone'")
    outbox = OutboxStore(database_url, 30)
    relay = Relay(outbox, publisher, 0, 10, Condition())
    working = threading.Thread(target=relay.run)
    working.start()
    wait_until(lambda: database.value("SELECT count(*) FROM dead_letter") == 2, "it is buried")
    relay.end()
    working.join()
    outbox.close()
    assert database.rows(LINEAGE) == [(1, None, 0, "replayed"), (2, 1, 1, "open")]
