"""Exchanges, queues and bindings, computed from the lifecycle table and declared by whoever connects first."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from panda_fsm.events import EVENTS, REQUESTS
from panda_fsm.lifecycle import bindings
from panda_fsm.process import DELAYS_S

DEAD = "panda.dead"
DEAD_LETTERS = "dead_letters"
DELIVERY_LIMIT = 50
"""A crash counts a delivery for everything prefetched, so innocent messages must survive many crashes."""
HEARTBEATS = "watcher.heartbeats"
DDM = "ddm"
_FACTS = ("job.", "block.")


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange."""

    name: str
    type: str = "topic"


@dataclass(frozen=True, slots=True)
class Queue:
    """A quorum queue and what is routed to it: (exchange, routing key) pairs."""

    name: str
    bindings: frozenset[tuple[str, str]]
    arguments: dict[str, Any] = field(default_factory=dict, hash=False)


EXCHANGES = (
    Exchange(REQUESTS),
    Exchange(EVENTS),
    Exchange(DEAD, "fanout"),
    *(Exchange(f"panda.delay.{seconds}") for seconds in DELAYS_S),
)


def exchange_of(key: str) -> str:
    """Facts are events, everything else is a request."""
    return EVENTS if key.startswith(_FACTS) else REQUESTS


def _work_queue(name: str, keys: frozenset[str]) -> Queue:
    arguments = {"x-delivery-limit": DELIVERY_LIMIT, "x-dead-letter-exchange": DEAD}
    return Queue(name, frozenset((exchange_of(key), key) for key in keys), arguments)


def _delay_queue(seconds: int) -> Queue:
    """Holds messages for `seconds`, then hands them to the queue that their routing key names."""
    arguments = {
        "x-message-ttl": seconds * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
    name = f"panda.delay.{seconds}"
    return Queue(name, frozenset({(name, "#")}), arguments)


def queues() -> tuple[Queue, ...]:
    """Every queue there is. Heartbeats have their own, so that a flood of them delays nothing."""
    services = tuple(_work_queue(name, keys) for name, keys in sorted(bindings().items()))
    return (
        *services,
        _work_queue(HEARTBEATS, frozenset({"heartbeat"})),
        _work_queue(DDM, frozenset({"block.requested"})),
        *(_delay_queue(seconds) for seconds in DELAYS_S),
        Queue(DEAD_LETTERS, frozenset({(DEAD, "#")})),
    )


def routed_keys() -> frozenset[tuple[str, str]]:
    """The (exchange, key) pairs that somebody is bound to: publishing these must not find nobody there."""
    return frozenset(pair for queue in queues() for pair in queue.bindings)


class Redeclaration:
    """Declares everything again after a message found no queue; once at a time, however many come back."""

    def __init__(self) -> None:
        self._under_way = False

    def start(self, channel: Any) -> None:
        """Declare on `channel`, unless that is under way already."""
        if not self._under_way:
            self._under_way = True
            declare(channel, self.end)

    def end(self) -> None:
        """Declared, or the channel is gone."""
        self._under_way = False


def declare(channel: Any, done: Callable[[], None]) -> None:
    """Declare everything on an asynchronous pika channel, one after another, then call `done`. Idempotent."""
    steps = _steps(channel)

    def step(_frame: object = None) -> None:
        following = next(steps, None)
        if following is None:
            done()
        else:
            following(step)

    step()


def _steps(channel: Any) -> Iterator[Callable[[Callable[[object], None]], None]]:
    for exchange in EXCHANGES:
        yield partial(_call, channel.exchange_declare, exchange.name, exchange.type, durable=True)
    for queue in queues():
        arguments = {"x-queue-type": "quorum", **queue.arguments}
        yield partial(_call, channel.queue_declare, queue.name, durable=True, arguments=arguments)
        for exchange_name, key in sorted(queue.bindings):
            yield partial(_call, channel.queue_bind, queue.name, exchange_name, key)


def _call(method: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    """The last positional argument is what to do when the broker has answered."""
    *rest, then = args
    method(*rest, callback=then, **kwargs)
