"""JEDI's side of the broker: it connects first, with its own program; its queues go and come back, or overflow."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from broker import upgrade
from broker.permissions import JEDI
from broker.policies import policies
from broker.publish import BrokerPublisher
from broker.status_queues import StatusQueues
from lab.services import Services
from lab.site import VO
from panda_fsm.bindings import JEDI_REQUESTS, jedi_bindings
from panda_fsm.effects import Outgoing
from panda_fsm.handler import Delivery
from panda_fsm.messages import new_message_id
from panda_fsm.status_queues import STATUS, status_queue
from tests.broker_side import Consuming, channel_of, waiting
from tests.panda_common_process import log_of, panda_common
from tests.polling import wait_until
from tests.stomp_frames import Stomp

FURTHER = jedi_bindings(["lab"], 2)
ASKS = "/exchange/jedi.requests/jedi.requests"


@pytest.fixture
def publisher(broker_url: str) -> Iterator[BrokerPublisher]:
    """Whoever of ours connects has it all declared."""
    one = BrokerPublisher(broker_url, "test", further=FURTHER)
    one.start()
    assert one.ready.wait(30)
    yield one
    one.stop()


def status(number: int, queue: str = "jedi.status.lab.0") -> Outgoing:
    """As the reporter sends it: to the exchange of the queue; the key is for those who listen at the other."""
    return Outgoing(new_message_id(), queue, f"lab.{number}.running", json.dumps({"seq": number}).encode())


def ask(url: str, body: bytes = b"{}", headers: dict[str, Any] | None = None) -> None:
    """As JEDI does it: to the exchange, persistent, with the broker's confirm."""
    said = pika.BasicProperties(delivery_mode=2, user_id=JEDI, headers=headers)
    with channel_of(url) as channel:
        channel.confirm_delivery()
        channel.basic_publish(JEDI_REQUESTS, JEDI_REQUESTS, body, said)


def vhost_of(broker_url: str) -> str:
    return broker_url.rpartition("/")[2]


def test_jedi_connects_first_to_a_broker_that_has_just_started(private_services: Services, run_dir: Path) -> None:
    """No service of ours ever was on this virtual host: the private broker has it all before it takes connections."""
    bodies = [json.dumps({"number": number}) for number in range(3)]
    panda_common(run_dir, "send", private_services.rabbitmq.stomp_url_of("%2F", JEDI), ASKS, bodies)
    with channel_of(private_services.rabbitmq.url) as channel:
        assert channel.queue_declare(status_queue(VO, 0), passive=True).method.message_count == 0
        found = [body for _, _, body in (next(channel.consume(JEDI_REQUESTS, auto_ack=True)) for _ in bodies)]
    assert found == [body.encode() for body in bodies]


def test_who_starts_the_private_broker_is_told_its_doors(services: Services) -> None:
    addresses = services.doors
    for name in ("PANDA_FSM_JEDI_URL", "PANDA_FSM_OPERATOR_URL"):
        pika.BlockingConnection(pika.URLParameters(addresses.pop(name))).close()
    with Stomp(addresses.pop("PANDA_FSM_STOMP_URL")) as stomp:
        assert stomp.ask("SEND", destination="/queue/mine").command == "ERROR"
    assert addresses == {}
    assert Services(services.directory, {"PANDA_FSM_BROKER_URL": "amqp://me:mine@far/away"}).doors == {}


def test_an_operator_declares_everything_before_jedi_gets_its_password(
    services: Services, broker_url: str, run_dir: Path
) -> None:
    jedi = services.rabbitmq.url_of(vhost_of(broker_url), JEDI)
    with pytest.raises(ChannelClosedByBroker, match="NOT_FOUND"):
        ask(jedi)  # not swallowed
    upgrade.declare(broker_url, FURTHER)
    ask(jedi)
    panda_common(run_dir, "send", services.rabbitmq.stomp_url_of(vhost_of(broker_url), JEDI), ASKS, ["{}"])
    with Consuming(broker_url, JEDI_REQUESTS) as consuming:
        wait_until(lambda: len(consuming.handled) == 2, "a service that comes later has both")
    by_amqp, by_stomp = consuming.handled
    assert (by_amqp.user_id, by_stomp.user_id) == (JEDI, None)
    assert by_amqp.exchange == by_stomp.exchange == JEDI_REQUESTS


def test_the_real_listener_hears_statuses_in_order(
    services: Services, broker_url: str, publisher: BrokerPublisher, run_dir: Path
) -> None:
    sent = [status(number) for number in range(20)]
    assert publisher.publish([status(99, "jedi.status.lab.1"), *sent], 10).confirmed
    url = services.rabbitmq.stomp_url_of(vhost_of(broker_url), JEDI)
    heard = panda_common(run_dir, "listen", url, "/queue/jedi.status.lab.0", len(sent))
    assert heard == [one.body.decode() for one in sent]
    wait_until(lambda: waiting(broker_url, "jedi.status.lab.0") == 0, "all are acknowledged")
    assert waiting(broker_url, "jedi.status.lab.1") == 1


def test_what_the_real_sender_may_not_send_is_refused_and_goes_nowhere(
    services: Services, broker_url: str, run_dir: Path
) -> None:
    url = services.rabbitmq.stomp_url_of(vhost_of(broker_url), JEDI)
    panda_common(run_dir, "offend", url, "/queue/jedi.unknown", ["{}"])
    assert "access_refused" in log_of(run_dir)
    assert waiting(broker_url, "jedi.unknown") == -1


def test_while_its_queue_is_missing_a_request_is_kept_for_people(
    services: Services, broker_url: str, publisher: BrokerPublisher
) -> None:
    del publisher
    jedi = services.rabbitmq.url_of(vhost_of(broker_url), JEDI)
    with channel_of(broker_url) as channel:
        channel.queue_delete(JEDI_REQUESTS)
    ask(jedi, b"lost", {"x-death": [{"queue": "watcher"}]})  # nor can it be made to look like one of ours
    with Consuming(broker_url, "dead_letters") as dead, Consuming(broker_url, JEDI_REQUESTS) as consuming:
        wait_until(lambda: dead.bodies == [b"lost"], "it is not lost")

        def is_heard(body: bytes) -> bool:
            ask(jedi, body)  # before the queue is bound again it is kept for people too
            return body in consuming.bodies

        wait_until(lambda: is_heard(b"found"), "the queue is made again by who consumes it")
        with channel_of(broker_url) as channel:
            channel.queue_delete(JEDI_REQUESTS)
        wait_until(lambda: is_heard(b"again"), "deleted under us, it comes back and is consumed")
    assert dead.handled[0].queue == JEDI_REQUESTS


def test_others_hear_of_the_tasks_and_states_that_they_bind(broker_url: str, publisher: BrokerPublisher) -> None:
    sent = [status(1), status(2, "jedi.status.lab.1"), status(3)]
    with channel_of(broker_url) as channel:
        channel.queue_declare("others", exclusive=True)
        for number in (2, 3):
            channel.queue_bind("others", STATUS, f"lab.{number}.*")
        assert publisher.publish(sent, 10).confirmed == sent
        heard = [next(channel.consume("others", auto_ack=True)) for _ in (2, 3)]
    assert [(method.routing_key, body) for method, _, body in heard] == [
        (one.routing_key, one.body) for one in sent[1:]
    ]  # fmt: skip


def test_a_status_queue_or_its_exchange_that_was_deleted_comes_back(
    broker_url: str, publisher: BrokerPublisher
) -> None:
    with channel_of(broker_url) as channel:
        channel.queue_delete("jedi.status.lab.0")
    sent = [status(1), status(2, "jedi.status.lab.1")]
    assert publisher.publish(sent, 10).returned == sent[:1]
    wait_until(lambda: publisher.publish(sent[:1], 10).confirmed == sent[:1], "it is made again, and bound")
    with channel_of(broker_url) as channel:
        channel.exchange_delete("jedi.status.lab.0")
    wait_until(lambda: publisher.publish(sent[:1], 10).confirmed, "it is made again when the broker misses it")


def test_a_vo_that_is_met_has_queues_at_once_and_whenever_they_go(broker_url: str, publisher: BrokerPublisher) -> None:
    StatusQueues(publisher, 2, 10).declare("other")
    sent = [status(1, status_queue("other", 1))]
    assert publisher.publish(sent, 10).confirmed == sent
    assert waiting(broker_url, "jedi.replies.other") == 0
    with channel_of(broker_url) as channel:
        channel.queue_delete(status_queue("other", 1))
    assert publisher.publish(sent, 10).returned == sent
    wait_until(lambda: publisher.publish(sent, 10).confirmed == sent, "it is made again")
    assert upgrade.check(broker_url, [], FURTHER) == []


def test_pruning_leaves_what_jedi_has_not_read(broker_url: str, publisher: BrokerPublisher) -> None:
    """A VO that left the settings: its queues go once they are empty."""
    retired = sorted(jedi_bindings(["other"], 1))
    StatusQueues(publisher, 1, 10).declare("other")
    assert publisher.publish([status(1, status_queue("other", 0))], 10).confirmed
    wait_until(lambda: waiting(broker_url, status_queue("other", 0)) == 1, "it waits there")
    sentences, removed = upgrade.prune(broker_url, retired, FURTHER)
    assert "queue jedi.status.other.0 is kept: it holds 1 messages" in sentences
    assert "queue jedi.replies.other is deleted" in sentences
    assert [one.queue for one in removed] == ["jedi.replies.other"]


def test_nobody_who_publishes_waits_for_a_queue_that_is_full(
    services: Services, broker_url: str, publisher: BrokerPublisher
) -> None:
    bound, vhost = policies()[-1], vhost_of(broker_url)
    tiny = json.dumps({**bound.definition, "max-length": 5})
    services.rabbitmq.control("set_policy", "-p", vhost, "--apply-to", "queues", bound.name, bound.pattern, tiny)
    sent = [status(number) for number in range(500)]
    published = publisher.publish(sent, 20)
    assert (published.confirmed, published.returned) == (sent, [])
    wait_until(lambda: waiting(broker_url, "jedi.status.lab.0") == 5, "the oldest went")
    assert waiting(broker_url, "dead_letters") == 0, "and are not put aside for people"
    with Stomp(services.rabbitmq.stomp_url_of(vhost, JEDI)) as stomp:
        stomp.say("SUBSCRIBE", id="1", destination="/amq/queue/jedi.status.lab.0", ack="client-individual")
        heard = [json.loads(stomp.hear().body)["seq"] for _ in range(5)]
    assert heard == [495, 496, 497, 498, 499]


def test_what_stomp_says_of_a_request(services: Services, broker_url: str, publisher: BrokerPublisher) -> None:
    """No user unless it is told, a body beyond the limit of later versions, and `reply_to` as it was written."""
    del publisher
    with Stomp(services.rabbitmq.stomp_url_of(vhost_of(broker_url), JEDI)) as stomp:
        assert stomp.ask("SEND", b"x" * 6_000_000, destination=ASKS).command == "RECEIPT"
        said = {"user_id": JEDI, "reply_to": "/reply-queue/jedi.replies.lab", "content_encoding": "gzip"}
        assert stomp.ask("SEND", b"{}", destination=ASKS, **said).command == "RECEIPT"
        assert stomp.ask("SEND", b"{}", destination=ASKS, message_id="mine").command == "ERROR"
    with Consuming(broker_url, JEDI_REQUESTS) as consuming:
        large, small = wait_until(lambda: len(consuming.handled) == 2 and consuming.handled, "both are there")
    assert len(large.body) == 6_000_000
    assert _said(large) == (None, None, None)
    assert _said(small) == (JEDI, "/reply-queue/jedi.replies.lab", "gzip")


def _said(delivery: Delivery) -> tuple[str | None, str | None, str | None]:
    return delivery.user_id, delivery.reply_to, delivery.content_encoding
