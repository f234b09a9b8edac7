"""Bindings, queues and their arguments, the policy, and what is refused before it is sent."""

from __future__ import annotations

import json
import re
from types import SimpleNamespace
from typing import Any

import pika
import pytest
from pika import frame
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker, ProbableAuthenticationError

from broker import leaderless, policies, publish
from broker.frames import encode
from broker.reasons import blames_message, reason_of
from broker.topology import EXCHANGES, Exchange, exchanges, queues
from panda_fsm import delays
from panda_fsm.bindings import DEAD_LETTERS, SUBMISSIONS, all_bindings, bindings, exchange_of, jedi_bindings, must_route
from panda_fsm.effects import Outgoing
from panda_fsm.errors import UnsendableError
from panda_fsm.messages import EVENTS, LARGEST_BODY, REQUESTS, Message, new_message_id
from panda_fsm.status_queues import status_queue


def test_every_queue_of_a_service_is_declared_with_its_keys() -> None:
    declared = {queue.name: {key for _, key in queue.bindings} for queue in queues()}
    assert {SUBMISSIONS, "watcher.heartbeats", "watcher.large", "ddm", DEAD_LETTERS} <= declared.keys()
    for queue, keys in bindings().items():
        assert declared[queue] == keys
    assert all(declared[delays.exchange(seconds)] == {"#"} for seconds in delays.SECONDS)


def test_every_binding_is_of_an_exchange_that_is_declared() -> None:
    assert {one.exchange for one in all_bindings()} <= {exchange.name for exchange in EXCHANGES}


def test_a_key_belongs_to_one_exchange_whoever_asks() -> None:
    keys: dict[str, set[str]] = {}
    for one in all_bindings():
        if one.exchange in {REQUESTS, EVENTS}:
            keys.setdefault(one.routing_key, set()).add(one.exchange)
            assert exchange_of(one.routing_key) == one.exchange
    assert all(len(exchanges) == 1 for exchanges in keys.values())
    assert {one.exchange for one in Message.__subclasses__()} <= {REQUESTS, EVENTS}


def test_only_facts_that_none_of_ours_awaits_may_find_no_queue() -> None:
    assert must_route(REQUESTS, "kill")
    assert must_route(REQUESTS, "nobody.knows.this")
    assert must_route(delays.exchange(10), "watcher")
    assert must_route("", "watcher")
    assert must_route(EVENTS, "job.defined")
    assert not must_route(EVENTS, "job.sent")
    assert not must_route(EVENTS, "block.closed")


def test_what_may_be_tuned_is_a_policy_and_no_argument() -> None:
    """An argument that changes would stop nobody now, but could never be changed without deleting the queue."""
    assert not [queue.name for queue in queues() if "x-delivery-limit" in queue.arguments]
    command, of_jedi = policies.commands("amqp://me:secret@host/my%2Fvhost")
    assert command[:3] == ["set_policy", "-p", "my/vhost"]
    pattern, definition = command[-2:]
    assert all(re.match(pattern, queue.name) for queue in queues())
    assert not re.match(pattern, "setupper2")
    assert json.loads(definition) == {"delivery-limit": 200}
    assert "-p" not in policies.commands()[0]
    further = {queue.name for queue in queues(jedi_bindings(["lab"], 2))} - {queue.name for queue in queues()}
    assert {queue.name for queue in queues(jedi_bindings(["lab"], 2)) if re.match(of_jedi[-2], queue.name)} == further
    assert json.loads(of_jedi[-1])["overflow"] == "drop-head"


def test_each_status_queue_has_an_exchange_of_its_name_and_is_handled_in_order() -> None:
    further = jedi_bindings(["lab", "strange.#"], 2)
    found = {queue.name: queue for queue in queues(further)}
    status = [name for name in found if name.startswith("jedi.status.")]
    assert status == ["jedi.status.lab.0", "jedi.status.lab.1", "jedi.status.strange__.0", "jedi.status.strange__.1"]
    assert all(found[name].bindings == {(name, "#")} for name in status)
    shards = [one for one in exchanges(further) if one not in exchanges()]
    assert shards == [Exchange(name, "fanout", hands_on_to="jedi.status") for name in status], "others hear it too"
    assert all(found[name].arguments["x-single-active-consumer"] for name in [*status, "jedi.requests"])
    assert "x-dead-letter-exchange" not in found[status[0]].arguments  # what nobody wants is not put aside for people
    assert found["jedi.requests"].arguments["x-dead-letter-exchange"] == "panda.dead"


CHANNEL: Any = SimpleNamespace(channel_number=1, connection=SimpleNamespace(params=SimpleNamespace(frame_max=131072)))


def message(key: str = "kill", body: bytes = b"{}", headers: dict[str, Any] | None = None) -> Outgoing:
    """A message to the requests."""
    return Outgoing(new_message_id(), REQUESTS, key, body, headers)


def properties_of(sent: Outgoing) -> tuple[pika.spec.Basic.Publish, frame.Header, bytes]:
    """The frames of a message, read as a broker reads them."""
    data = encode(CHANNEL, sent)
    taken, method = frame.decode_frame(data)
    more, header = frame.decode_frame(data[taken:])
    body = b""
    at = taken + more
    while at < len(data):
        size, part = frame.decode_frame(data[at:])
        assert isinstance(part, frame.Body)
        body += part.fragment
        at += size
    assert isinstance(method, frame.Method)
    assert isinstance(header, frame.Header)
    return method.method, header, body


@pytest.mark.parametrize(
    "headers",
    [None, {"retries": 1, "waiting_since": 1.5}],
    ids=["plain", "headers"],
)
def test_what_is_sent_is_persistent_mandatory_and_has_its_id(headers: dict[str, Any] | None) -> None:
    sent = message(body=b"x" * 300_000, headers=headers)
    method, header, body = properties_of(sent)
    assert (method.exchange, method.routing_key, method.mandatory) == (REQUESTS, "kill", True)
    assert body == sent.body
    assert header.body_size == len(sent.body)
    found = header.properties
    assert (found.delivery_mode, found.content_type, found.message_id) == (2, "application/json", sent.message_id)
    assert found.headers == (headers and headers | {"waiting_since": "1.5"})


@pytest.mark.parametrize(
    ("unsendable", "why"),
    [
        (message(body=b"x" * (LARGEST_BODY + 1)), "bytes, more than"),
        (message(headers={"reason": "x" * 200_000}), "more than a frame"),
        (message(key="k" * 300), "cannot be written in AMQP"),
        (message(key="\ud800"), "cannot be written in AMQP"),
        (message(headers={"strange": object()}), "cannot be written in AMQP"),
    ],
    ids=["body", "headers", "long key", "no text", "strange value"],
)
def test_what_no_broker_takes_is_refused_before_it_is_sent(unsendable: Outgoing, why: str) -> None:
    with pytest.raises(UnsendableError, match=why):
        encode(CHANNEL, unsendable)


def test_who_nacks_is_known_where_none_of_ours_consumes() -> None:
    named = Outgoing(new_message_id(), status_queue("lab", 0), "lab.1.running", b"{}")
    delayed = Outgoing(new_message_id(), delays.exchange(10), "watcher", b"{}")
    reply = Outgoing(new_message_id(), "", "jedi.replies.lab", b"{}")
    assert [list(leaderless._unconsumed(one)) for one in (named, delayed, reply, message())] == [
        ["jedi.status.lab.0"],
        [delays.exchange(10)],
        ["jedi.replies.lab"],
        [],
    ]


def test_slices_are_bounded_in_bytes_and_a_heavy_message_goes_alone() -> None:
    half = publish.SLICE_BYTES // 2
    weights = [10, half, half, 10, 3 * half, 10, 10]
    sent = [message(body=b"x" * weight) for weight in weights]
    slices = list(publish._slices(sent))
    assert [[len(one.body) for one in part] for part in slices] == [[10, half], [half, 10], [3 * half], [10, 10]]
    assert [one for part in slices for one in part] == sent
    assert list(publish._slices([])) == []


@pytest.mark.parametrize(
    ("error", "blames"),
    [
        (ChannelClosedByBroker(406, "PRECONDITION_FAILED - message size 20000000 is larger than"), True),
        (ChannelClosedByBroker(404, "NOT_FOUND - no exchange 'panda.former'"), True),
        (ConnectionClosedByBroker(501, "FRAME_ERROR - type 2, frame too large"), True),
        (ConnectionClosedByBroker(320, "CONNECTION_FORCED - shutdown"), False),
        (ConnectionResetError(104, "Connection reset by peer"), False),
        ("the message broker does not answer", False),
    ],
    ids=str,
)
def test_a_message_is_to_blame_only_where_the_broker_says_so(error: BaseException | str, blames: bool) -> None:
    assert blames_message(error) is blames


def test_reasons_are_told_without_wrappings() -> None:
    refused = ConnectionClosedByBroker(403, "ACCESS_REFUSED - Login was refused")
    assert reason_of(refused) == "ACCESS_REFUSED - Login was refused (403)"
    assert "Login was refused" in reason_of(ProbableAuthenticationError(repr(refused)))
    assert reason_of(pika.exceptions.AMQPConnectionError(OSError(111, "Connection refused"))) == (
        "[Errno 111] Connection refused"
    )
    assert len(reason_of("x" * 100_000)) <= 500
