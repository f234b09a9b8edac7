"""The consumer on a real broker: it is never deaf for long, takes suspects last and alone, and waits without harm."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from pika.adapters.blocking_connection import BlockingChannel

from broker.consume import BatchConsumer
from broker.publish import BrokerPublisher
from broker.reasons import NotDeclaredError
from lab.services import Services
from panda_fsm.bindings import Binding, Further
from panda_fsm.errors import SystemicError, TransientError
from panda_fsm.handler import Delivery
from panda_fsm.trouble import ALONE_AFTER, KILLER_AFTER
from tests.broker_side import Consuming, channel_of, consumers, kill, put, waiting
from tests.polling import wait_until
from tests.proxy import Proxy


@pytest.fixture
def publisher(broker_url: str) -> Iterator[BrokerPublisher]:
    """It declares everything, too."""
    one = BrokerPublisher(broker_url, "test")
    one.start()
    assert one.ready.wait(30)
    yield one
    one.stop()


def test_who_is_in_no_hurry_gathers_what_comes_one_by_one(broker_url: str, publisher: BrokerPublisher) -> None:
    """Until a batch is full: what it does costs the same for one as for many."""
    with Consuming(broker_url, size=3, gathers_s=60) as consuming:
        for number in range(1, 4):
            assert publisher.publish([kill(number)], 10).confirmed
        wait_until(lambda: consuming.batches, "a full batch is handled")
        assert [len(batch) for batch in consuming.batches] == [3]


def test_what_is_published_is_handled_and_acknowledged(broker_url: str, publisher: BrokerPublisher) -> None:
    with Consuming(broker_url) as consuming:
        messages = [kill(number) for number in range(1, 501)]
        assert len(publisher.publish(messages, 10).confirmed) == 500
        wait_until(lambda: len(consuming.bodies) == 500, "all are handled")
        assert consuming.bodies == [message.body for message in messages]
    assert waiting(broker_url, "watcher") == 0


def test_a_queue_that_is_deleted_and_at_once_declared_again_has_a_consumer_soon(
    broker_url: str, publisher: BrokerPublisher
) -> None:
    """Declared again within milliseconds, the broker never says that the consumer was cancelled."""
    with Consuming(broker_url) as consuming:
        for handled in (1, 2, 3):  # not every time is it fast enough to go unsaid
            with channel_of(broker_url) as channel:
                channel.queue_delete("watcher")
                channel.queue_declare("watcher", durable=True, arguments={"x-queue-type": "quorum"})
                channel.queue_bind("watcher", "panda.requests", "kill")
            assert publisher.publish([kill()], 10).confirmed
            wait_until(lambda: len(set(consuming.bodies)) == handled, "the consumer hears again", 60)  # noqa: B023
            wait_until(lambda: consumers(broker_url, "watcher") == 1, "one consumer, no more", 60)


def test_a_queue_that_is_deleted_is_made_again_by_its_consumer(broker_url: str) -> None:
    with Consuming(broker_url):
        with channel_of(broker_url) as channel:
            channel.queue_delete("watcher")
        wait_until(lambda: consumers(broker_url, "watcher") == 1, "consumed again", 60)


def test_a_queue_without_a_leader_is_made_anew(services: Services, broker_url: str) -> None:
    """RabbitMQ 3.10 writes a new quorum queue down half a second late: killed before, it comes back without leader."""
    with Consuming(broker_url) as consuming:
        with channel_of(broker_url) as channel:
            channel.queue_delete("watcher")
            channel.queue_declare("watcher", durable=True, arguments={"x-queue-type": "quorum"})
        services.rabbitmq.kill()
        services.rabbitmq.start()
        wait_until(lambda: "no leader" in (consuming.condition.trouble or ""), "it says what is wrong", 30)
        wait_until(lambda: consumers(broker_url, "watcher") == 1, "consumed again", 60)
        wait_until(lambda: consuming.condition.trouble is None, "all is well")
        put(broker_url, "watcher", b"again")
        wait_until(lambda: b"again" in consuming.bodies, "it hears")


class Told(BatchConsumer):
    """It notes why its connections ended."""

    def __init__(self, broker_url: str, further: Further) -> None:
        super().__init__(broker_url, "watcher", 1, lambda _batch: None, further=further)
        self.reasons: list[BaseException | str] = []

    def before_reconnect(self, reason: BaseException | str) -> None:
        self.reasons.append(reason)


def test_that_something_else_cannot_be_declared_is_told_apart(broker_url: str) -> None:
    """It says nothing about the leader of the queue that is consumed."""
    consumer = Told(broker_url, frozenset({Binding("watcher", "nowhere", "key")}))
    consumer.start()
    try:
        wait_until(lambda: consumer.reasons, "it cannot declare")
    finally:
        consumer.stop()
    assert isinstance(consumer.reasons[0], NotDeclaredError)


def redeliver(broker_url: str, messages: int, times: int) -> None:
    """Have so many messages of the Watcher's queue handed out without an answer, until the broker counts so many times.

    What a closed connection held is back in the queue a little later, so its length does not say what to wait for.
    """

    def handed_out(channel: BlockingChannel) -> list[dict[str, Any]]:
        _, properties, _ = channel.basic_get("watcher")
        return [dict(properties.headers or {})] if properties is not None else []

    def fewest() -> int:
        with channel_of(broker_url) as channel:
            found = [wait_until(lambda: handed_out(channel), "handed out")[0] for _ in range(messages)]
        return min(int(max(one.get("x-delivery-count", 0), one.get("x-acquired-count", 0))) for one in found)

    wait_until(lambda: fewest() >= times, "handed out often enough")


def test_what_was_handed_out_often_is_handled_last_and_alone(broker_url: str, publisher: BrokerPublisher) -> None:
    suspects = {b"one", b"two", b"three"}
    put(broker_url, "watcher", *sorted(suspects))
    redeliver(broker_url, len(suspects), ALONE_AFTER)
    put(broker_url, "watcher", b"behind", b"them")
    with Consuming(broker_url) as consuming:
        wait_until(lambda: len(consuming.bodies) == 5, "all are handled")
    assert consuming.bodies[:2] == [b"behind", b"them"]
    assert [len(batch) for batch in consuming.batches[-3:]] == [1, 1, 1]
    assert {one.body for one in consuming.handled if one.deliveries >= ALONE_AFTER} == suspects
    assert waiting(broker_url, "watcher") == 0


def test_those_before_a_suspect_are_not_acknowledged_for_it(broker_url: str, publisher: BrokerPublisher) -> None:
    """One acknowledgement for all up to a tag would take suspects that nobody has handled yet."""
    put(broker_url, "watcher", b"suspect")
    redeliver(broker_url, 1, ALONE_AFTER)
    put(broker_url, "watcher", b"other")

    def refuse_suspect(batch: Sequence[Delivery]) -> None:
        if batch[0].body == b"suspect":
            raise TransientError("not now")

    with Consuming(broker_url, handle=refuse_suspect) as consuming:
        wait_until(lambda: consuming.bodies == [b"other"], "the other one is handled")
        wait_until(lambda: "not now" in (consuming.condition.trouble or ""), "the suspect is tried")
    wait_until(lambda: waiting(broker_url, "watcher") == 1, "the suspect is still there")


def test_what_a_message_waited_for_is_read_from_its_headers(broker_url: str, publisher: BrokerPublisher) -> None:
    put(broker_url, "watcher", b"a", headers={"retries": 3, "waiting_since": "1700000000.5", "key": "report.running"})
    put(broker_url, "watcher", b"b", headers={"retries": "x", "waiting_since": 1700000000})
    put(broker_url, "watcher", b"c", headers={"waiting_since": "long ago"})
    with Consuming(broker_url) as consuming:
        wait_until(lambda: len(consuming.bodies) == 3, "all are handled")
    one, two, three = consuming.handled
    assert (one.retries, one.waiting_since, one.routing_key) == (3, 1700000000.5, "report.running")
    assert (two.retries, two.waiting_since) == (0, 1700000000.0)
    assert (three.waiting_since, three.deliveries) == (None, 0)


def test_transient_trouble_is_told_and_the_same_batch_tried_again(broker_url: str, publisher: BrokerPublisher) -> None:
    away = threading.Event()
    away.set()
    tries: list[int] = []

    def handle(batch: Sequence[Delivery]) -> None:
        tries.append(len(batch))
        if away.is_set():
            raise SystemicError("the schema is too old") if len(tries) > 2 else TransientError("away")

    with Consuming(broker_url, handle=handle) as consuming:
        put(broker_url, "watcher", b"x")
        wait_until(lambda: consuming.condition.trouble == "watcher: the schema is too old", "it says so")
        assert len(tries) > 2
        assert waiting(broker_url, "watcher") == 0  # it is in hand
        away.clear()
        wait_until(lambda: consuming.condition.trouble is None, "it works again")
        assert consuming.bodies == [b"x"]


def test_a_consumer_that_waits_ends_at_once_and_gives_its_batch_back(broker_url: str) -> None:
    def away(_batch: Sequence[Delivery]) -> None:
        raise SystemicError("somebody must mend it")

    with Consuming(broker_url, handle=away) as consuming:
        put(broker_url, "watcher", b"x")
        wait_until(lambda: consuming.condition.trouble, "it waits, for seconds by now", 20)
        began = time.monotonic()
    assert time.monotonic() - began < 5
    wait_until(lambda: waiting(broker_url, "watcher") == 1, "it is given back")


def test_a_batch_whose_channel_is_lost_is_not_tried_again(broker_url: str) -> None:
    """Somebody else has it by now."""  # here: ourselves, again
    tried: list[int] = []

    def away(batch: Sequence[Delivery]) -> None:
        tried.append(batch[0].deliveries)
        raise SystemicError("somebody must mend it")

    with Proxy(broker_url) as proxy, Consuming(proxy.url, handle=away):
        put(broker_url, "watcher", b"x")
        wait_until(lambda: len(tried) == 2, "it waits")
        proxy.cut()
        wait_until(lambda: len(tried) > 2, "handed out anew", 20)
        assert tried[:3] == [0, 0, 1]


def test_a_network_that_lets_nothing_through_is_noticed_and_outlived(broker_url: str) -> None:
    with Proxy(broker_url) as proxy, Consuming(proxy.url) as consuming:
        put(broker_url, "watcher", b"before")
        wait_until(lambda: consuming.bodies == [b"before"], "it hears")
        proxy.freeze()
        put(broker_url, "watcher", b"meanwhile")
        wait_until(lambda: consuming.condition.trouble, "it notices", 60)
        proxy.refuse()
        proxy.passes()
        wait_until(lambda: b"meanwhile" in consuming.bodies, "it hears again", 60)
        wait_until(lambda: consuming.condition.trouble is None, "all is well")


HANGING = """
import sys, threading
from broker.consume import BatchConsumer

def hang(batch):
    print("hanging", flush=True)
    threading.Event().wait()

BatchConsumer(sys.argv[1], "watcher", 10, hang, batch_limit_s=1).run()
"""


def test_a_process_whose_batch_does_not_end_ends_itself(broker_url: str, publisher: BrokerPublisher) -> None:
    put(broker_url, "watcher", b"x")
    command = [sys.executable, "-c", HANGING, broker_url]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert "hanging" in done.stdout
    assert done.returncode == 70, done.stderr
    assert "in hang" in done.stdout + done.stderr  # where it hung
    wait_until(lambda: waiting(broker_url, "watcher") == 1, "the message is given back")


KILLED = """
import os, sys
from broker.consume import BatchConsumer

def handle(batch):
    if any(one.body == b"killer" for one in batch):
        os._exit(9)
    with open(sys.argv[2], "a") as file:
        file.writelines(one.body.decode() + "\\n" for one in batch)

BatchConsumer(sys.argv[1], "watcher", 5, handle).run()
"""


def test_all_others_are_handled_though_one_message_kills_every_process(
    broker_url: str, publisher: BrokerPublisher, run_dir: Path
) -> None:
    """Each life handles those that its lot puts before the killer; at last the killer is alone."""
    others = [f"{number:02}".encode() for number in range(24)]
    put(broker_url, "watcher", *others[:3], b"killer", *others[3:])
    handled = run_dir / "handled"
    command = [sys.executable, "-c", KILLED, broker_url, str(handled)]
    lives = 0
    while not handled.exists() or {*handled.read_text().split()} != {one.decode() for one in others}:
        lives += 1
        assert lives <= KILLER_AFTER, "the killer would be buried, and others with it"
        assert subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 9
    wait_until(lambda: waiting(broker_url, "watcher") == 1, "the killer alone is left")
