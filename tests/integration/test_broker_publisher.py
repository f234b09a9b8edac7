"""The engine's publisher on a real broker: confirmed, returned, refused or to blame; and a queue that nacks."""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Iterator

import pytest

from broker import publish
from broker.publish import BrokerPublisher
from broker.topology import queues
from lab.services import Services
from panda_fsm import delays
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.states import State
from panda_fsm.messages import EVENTS, LARGEST_BODY, REQUESTS, JobEvent, new_message_id
from panda_fsm.trouble import Condition
from tests.broker_side import channel_of, kill, waiting
from tests.faults import declare
from tests.polling import wait_until
from tests.proxy import Proxy


@pytest.fixture
def publisher(broker_url: str) -> Iterator[BrokerPublisher]:
    one = BrokerPublisher(broker_url, "test", Condition())
    one.start()
    assert one.ready.wait(30)
    yield one
    one.stop()


def outgoing(exchange: str, key: str, body: bytes = b"{}", **headers: object) -> Outgoing:
    """Any message."""
    return Outgoing(new_message_id(), exchange, key, body, headers or None)


def test_all_are_confirmed_whatever_they_weigh(broker_url: str, publisher: BrokerPublisher) -> None:
    """Together they are more than may be on their way at a time."""
    messages = [outgoing(REQUESTS, "kill", b"x" * 1_000_000) for _ in range(10)] + [kill() for _ in range(1000)]
    messages.append(outgoing(REQUESTS, "kill", b"x" * (publish.SLICE_BYTES + 1)))
    published = publisher.publish(messages, 30)
    assert published.confirmed == messages
    assert (published.returned, published.refused, published.lost) == ([], {}, None)
    assert waiting(broker_url, "watcher") == len(messages)


def test_what_no_queue_takes_is_returned_and_equal_ones_are_told_apart(
    broker_url: str, publisher: BrokerPublisher
) -> None:
    with channel_of(broker_url) as channel:
        channel.queue_delete("watcher")
    lost = [outgoing(REQUESTS, "kill", b"the same") for _ in range(3)]
    taken = [outgoing(REQUESTS, "submit", b"the same") for _ in range(3)]
    nobodys = Outgoing.of(JobEvent(job_id=1, version=1, state=State.SENT, trigger="acquired"))
    published = publisher.publish([lost[0], taken[0], lost[1], taken[1], nobodys, taken[2], lost[2]], 10)
    assert published.returned == lost
    assert published.confirmed == [taken[0], taken[1], nobodys, taken[2]]
    wait_until(lambda: waiting(broker_url, "watcher") >= 0, "the queue is made again")
    assert publisher.publish(lost, 10).confirmed == lost


def test_a_queue_bound_to_everything_hides_that_another_is_missing(broker_url: str, publisher: BrokerPublisher) -> None:
    """Which docs/operations.md warns of."""
    with channel_of(broker_url) as channel:
        channel.queue_declare("monitor", durable=True)
        channel.queue_bind("monitor", REQUESTS, "#")
        channel.queue_delete("watcher")
        hidden = kill()
        assert publisher.publish([hidden], 10).confirmed == [hidden]
        channel.queue_delete("monitor")
    missed = kill()
    assert publisher.publish([missed], 10).returned == [missed], "nobody has declared it again until now"


def test_a_delayed_message_for_a_queue_is_held_by_the_delay_queue(publisher: BrokerPublisher, broker_url: str) -> None:
    exchange = delays.exchange(60)
    assert publisher.publish([outgoing(exchange, "watcher", retries=3, waiting_since=time.time())], 10).confirmed
    assert waiting(broker_url, exchange) == 1


def test_what_no_broker_takes_is_refused_and_the_others_are_confirmed(publisher: BrokerPublisher) -> None:
    heavy = outgoing(REQUESTS, "submit", b"x" * (LARGEST_BODY + 1))
    endless = outgoing(delays.exchange(1), "watcher", reason="x" * 200_000)
    good = [kill(), kill()]
    published = publisher.publish([good[0], heavy, endless, good[1]], 10)
    assert published.confirmed == good
    assert published.refused.keys() == {heavy.message_id, endless.message_id}
    assert "bytes" in published.refused[heavy.message_id]
    assert "headers" in published.refused[endless.message_id]
    assert published.lost is None


def test_a_message_that_closes_the_channel_is_to_blame(publisher: BrokerPublisher) -> None:
    good = [kill() for _ in range(5)]
    published = publisher.publish([*good, outgoing("panda.former", "kill")], 10)
    assert published.lost is not None
    assert "no exchange 'panda.former'" in published.lost
    assert publisher.ready.wait(10)  # and the next window finds a channel
    assert publisher.publish(good, 10).confirmed == good


def test_a_loss_that_no_message_caused_blames_none(services: Services, broker_url: str) -> None:
    with Proxy(broker_url) as proxy:
        condition = Condition()
        publisher = BrokerPublisher(proxy.url, "test", condition)
        publisher.start()
        assert publisher.ready.wait(30)
        proxy.freeze()
        ending = threading.Timer(0.2, proxy.cut)
        ending.start()
        published = publisher.publish([kill()], 10)
        ending.join()
        assert (published.confirmed, published.returned, published.refused, published.lost) == ([], [], {}, None)
        proxy.refuse()
        wait_until(lambda: condition.trouble, "it says that the broker is away")
        proxy.passes()
        wait_until(lambda: condition.trouble is None, "all is well", 20)
        assert publisher.publish([kill()], 10).confirmed
        publisher.stop()


def test_a_nack_is_neither_confirmed_nor_returned_and_a_delay_queue_without_leader_is_made_anew(
    services: Services, broker_url: str, publisher: BrokerPublisher
) -> None:
    exchange = delays.exchange(10)
    with channel_of(broker_url) as channel:
        channel.queue_delete(exchange)
        declare(channel, next(queue for queue in queues() if queue.name == exchange))
    services.rabbitmq.kill()
    services.rabbitmq.start()
    assert publisher.ready.wait(30)
    published = publisher.publish([outgoing(exchange, "watcher")], 10)
    assert (published.confirmed, published.returned, published.refused, published.lost) == ([], [], {}, None)
    wait_until(lambda: publisher.publish([outgoing(exchange, "watcher")], 10).confirmed, "it is made anew", 60)


def test_a_blocked_broker_is_told_at_once(services: Services, broker_url: str, publisher: BrokerPublisher) -> None:
    services.rabbitmq.control("set_vm_memory_high_watermark", "0")
    try:
        publisher.publish([kill()], 5)  # only who publishes is told
        wait_until(lambda: "blocked" in (publisher.condition.trouble or ""), "it says so")
        began = time.monotonic()
        assert publisher.publish([kill()], 60).confirmed == []
        assert time.monotonic() - began < 5
    finally:
        services.rabbitmq.control("set_vm_memory_high_watermark", "0.3")
    wait_until(lambda: publisher.condition.trouble is None, "it is not blocked any more")
    assert publisher.publish([kill()], 10).confirmed


def test_a_wrong_password_is_named(broker_url: str) -> None:
    condition = Condition()
    url = re.sub(r":[^:@]+@", ":wrong@", broker_url)
    publisher = BrokerPublisher(url, "test", condition)
    publisher.start()
    wait_until(lambda: "ACCESS_REFUSED" in (condition.trouble or ""), "it says so")
    assert publisher.publish([kill()], 0.1).confirmed == []
    publisher.stop()


def test_events_go_to_whoever_binds_to_them(broker_url: str, publisher: BrokerPublisher) -> None:
    with channel_of(broker_url) as channel:
        channel.queue_declare("listener", exclusive=True)
        channel.queue_bind("listener", EVENTS, "job.sent")
        event = Outgoing.of(JobEvent(job_id=1, version=1, state=State.SENT, trigger="acquired"))
        assert publisher.publish([event], 10).confirmed
        wait_until(lambda: channel.basic_get("listener", auto_ack=True)[2] == event.body, "it arrives")
