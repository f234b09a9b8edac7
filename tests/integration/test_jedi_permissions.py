"""What the broker's users may do, over AMQP and STOMP: JEDI asks and hears, the operator looks, the server serves."""

from __future__ import annotations

import re
from collections.abc import Callable

import pika
import pytest
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from broker import permissions, upgrade
from broker.permissions import JEDI, OPERATOR
from lab.services import Services
from panda_fsm.bindings import jedi_bindings
from tests.broker_side import Consuming, channel_of, kill
from tests.polling import wait_until
from tests.stomp_frames import Stomp

FURTHER = jedi_bindings(["lab"], 4)
STATUS = "jedi.status.lab.0"
Try = Callable[[BlockingChannel], object]


@pytest.fixture
def vhost(services: Services, broker_url: str) -> str:
    """A virtual host where everything is declared."""
    upgrade.declare(broker_url, FURTHER)
    return broker_url.rpartition("/")[2]


def publish(exchange: str, key: str, user_id: str | None = None) -> Try:
    return lambda channel: channel.basic_publish(exchange, key, b"{}", pika.BasicProperties(user_id=user_id))


def consume(queue: str) -> Try:
    return lambda channel: channel.basic_consume(queue, lambda *_: None)


MAKES: dict[str, Try] = {
    "declares a queue": lambda channel: channel.queue_declare("mine"),
    "declares a queue without a name": lambda channel: channel.queue_declare("", exclusive=True),
    "declares a status queue": lambda channel: channel.queue_declare("jedi.status.mine.0", durable=True),
    "declares an exchange": lambda channel: channel.exchange_declare("mine"),
    "deletes its status queue": lambda channel: channel.queue_delete(STATUS),
    "deletes an exchange": lambda channel: channel.exchange_delete("jedi.requests"),
    "binds its status queue": lambda channel: channel.queue_bind(STATUS, "jedi.status", "#"),
    "binds to our requests": lambda channel: channel.queue_bind("jedi.requests", "panda.requests", "#"),
    "unbinds": lambda channel: channel.queue_unbind(STATUS, "jedi.status", STATUS),
    "publishes to a queue": publish("", "jedi.requests"),
    "publishes to our requests": publish("panda.requests", "kill"),
    "publishes facts": publish("panda.events", "job.finished"),
    "publishes to the dead": publish("panda.dead", "x"),
    "publishes statuses": publish("jedi.status", STATUS),
    "publishes to a delay": publish("panda.delay.1", "watcher"),
    "publishes to what is not there": publish("jedi.nothing", "x"),
}
READS: dict[str, Try] = {
    "consumes its requests": consume("jedi.requests"),
    "consumes the watcher": consume("watcher"),
    "consumes dead letters": consume("dead_letters"),
    "purges the watcher": lambda channel: channel.queue_purge("watcher"),
    "purges its requests": lambda channel: channel.queue_purge("jedi.requests"),
}


def allowed(url: str, tries: dict[str, Try]) -> dict[str, int]:
    """Those of the tries that the broker does not refuse, with what it says instead; 0: it does it."""
    found = {}
    with pika.BlockingConnection(pika.URLParameters(url)) as connection:
        for name, attempt in tries.items():
            channel = connection.channel()
            channel.confirm_delivery()
            try:
                attempt(channel)
                channel.close()
                found[name] = 0
            except ChannelClosedByBroker as error:
                if error.reply_code != 403:
                    found[name] = error.reply_code
    return found


def test_jedi_writes_its_requests_and_reads_what_is_for_it_and_nothing_else(services: Services, vhost: str) -> None:
    url = services.rabbitmq.url_of(vhost, JEDI)
    assert allowed(url, MAKES | READS) == {}
    may = {
        "asks": publish("jedi.requests", "jedi.requests", user_id=JEDI),
        "hears": consume(STATUS),
        "is answered": consume("jedi.replies.lab"),
        "is answered directly": lambda channel: channel.basic_consume(
            "amq.rabbitmq.reply-to", lambda *_: None, auto_ack=True
        ),
    }
    assert allowed(url, may) == dict.fromkeys(may, 0)
    lies = {"is somebody else": publish("jedi.requests", "x", user_id="panda")}
    assert allowed(url, lies) == {"is somebody else": 406}


def test_an_operator_reads(services: Services, vhost: str) -> None:
    url = services.rabbitmq.url_of(vhost, OPERATOR)
    assert allowed(url, MAKES | {"asks": publish("jedi.requests", "jedi.requests")}) == {}
    assert allowed(url, {"reads": consume("watcher")}) == {"reads": 0}


SENDS = [
    "/queue/jedi.requests", "/amq/queue/jedi.requests", "/amq/queue/watcher", "/queue/jedi.unknown", "/topic/x",
    "/exchange/panda.requests/kill", "/exchange/jedi.status/x", "/exchange/jedi.nothing/x", "/exchange/amq.direct/x",
]  # fmt: skip
SUBSCRIBES = [
    "/amq/queue/watcher", "/amq/queue/jedi.requests", "/amq/queue/dead_letters", "/queue/jedi.status.mine.0",
    "/queue/mine", "/exchange/jedi.status/#", "/exchange/panda.events/#", "/topic/x", "/temp-queue/x",
]  # fmt: skip


def test_over_stomp_jedi_may_do_no_more(services: Services, vhost: str) -> None:
    url = services.rabbitmq.stomp_url_of(vhost, JEDI)

    def refusal(command: str, destination: str, **headers: str) -> str | None:
        with Stomp(url) as stomp:
            frame = stomp.ask(command, destination=destination, **headers)
            return frame.headers["message"] if frame.command == "ERROR" else None

    sent = {destination: refusal("SEND", destination) for destination in SENDS}
    assert sent == dict.fromkeys(SENDS, "access_refused")
    heard = {destination: refusal("SUBSCRIBE", destination, id="1") for destination in SUBSCRIBES}
    assert {name for name, why in heard.items() if why != "access_refused"} == {"/temp-queue/x"}
    assert heard["/temp-queue/x"] is not None
    assert refusal("SUBSCRIBE", "/amq/queue/jedi.status.unknown.0", id="1") == "not_found"
    asks = "/exchange/jedi.requests/jedi.requests"
    assert refusal("SEND", asks, user_id="panda") == "precondition_failed"
    assert refusal("SEND", asks, reply_to="/temp-queue/x") == "access_refused"
    assert refusal("SEND", asks, user_id=JEDI) is None
    assert refusal("SUBSCRIBE", f"/amq/queue/{STATUS}", id="1") is None


def test_the_server_needs_no_more_than_it_is_given(services: Services, broker_url: str) -> None:
    """All is declared, published and consumed by a user who may touch nothing but what is ours."""
    control, name = services.rabbitmq.control, permissions.SERVER
    control("add_user", name, "secret")
    try:
        for command in permissions.commands(broker_url):
            control(*command)
        url = re.sub("//[^@]+@", f"//{name}:secret@", broker_url)
        upgrade.declare(url, FURTHER)
        assert upgrade.check(url, [], FURTHER) == []
        with Consuming(url) as consuming, channel_of(url) as channel:
            channel.confirm_delivery()
            sent = kill()
            channel.basic_publish(sent.exchange, sent.routing_key, sent.body)
            channel.basic_publish("", "watcher", sent.body)
            wait_until(lambda: len(consuming.handled) == 2, "both are handled")
            with pytest.raises(ChannelClosedByBroker, match="ACCESS_REFUSED"):
                channel.queue_declare("mine")
    finally:
        control("delete_user", name)
