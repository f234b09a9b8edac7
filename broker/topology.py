"""Exchanges and queues as they are declared, computed from the bindings."""

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from panda_fsm import delays
from panda_fsm.bindings import DEAD, DEAD_LETTERS, JEDI_REQUESTS, Further, all_bindings
from panda_fsm.messages import EVENTS, REQUESTS
from panda_fsm.status_queues import REPLIES, STATUS


@dataclass(frozen=True, slots=True)
class Exchange:
    """A durable exchange. `hands_on_to`: another one, which gets all that this one gets."""

    name: str
    type: str = "topic"
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)
    hands_on_to: str | None = None


@dataclass(frozen=True, slots=True)
class Queue:
    """A quorum queue and what is routed to it: (exchange, routing key) pairs.

    Its arguments are what it cannot be without. What may be tuned is a matter of policy (see upgrade.py): an argument
    can never be changed on a queue that exists.
    """

    name: str
    bindings: frozenset[tuple[str, str]]
    arguments: Mapping[str, Any] = field(default_factory=dict, hash=False)


EXCHANGES = (
    Exchange(REQUESTS),
    Exchange(EVENTS),
    Exchange(DEAD, "fanout"),
    Exchange(JEDI_REQUESTS, "fanout", {"alternate-exchange": DEAD}),
    Exchange(STATUS),
    *(Exchange(delays.exchange(seconds)) for seconds in delays.SECONDS),
)
_QUORUM = {"x-queue-type": "quorum"}
_ONE_AT_A_TIME = {"x-single-active-consumer": True}
"""What is in the queue is handled in order, however many consume it."""
_DELAYED = {delays.exchange(seconds): seconds for seconds in delays.SECONDS}
"""Seconds by delay queue."""


@lru_cache(maxsize=100)
def exchanges(further: Further = frozenset()) -> tuple[Exchange, ...]:
    """Every exchange there is; each status queue has its own, of the same name, which hands on to `STATUS` too."""
    shards = sorted({one.exchange for one in further if one.exchange.startswith(f"{STATUS}.")})
    return (*EXCHANGES, *(Exchange(name, "fanout", hands_on_to=STATUS) for name in shards))


@lru_cache(maxsize=100)
def queues(further: Further = frozenset()) -> tuple[Queue, ...]:
    """Every queue there is; `further` are those of an installation, beyond the table."""
    bound: dict[str, set[tuple[str, str]]] = defaultdict(set)
    for queue, exchange, key in all_bindings() | further:
        bound[queue].add((exchange, key))
    return tuple(Queue(name, frozenset(pairs), _arguments(name)) for name, pairs in sorted(bound.items()))


def _arguments(name: str) -> dict[str, Any]:
    if name == DEAD_LETTERS:
        return _QUORUM
    if name.startswith(f"{REPLIES}."):
        return _QUORUM
    if name.startswith(f"{STATUS}."):
        return _QUORUM | _ONE_AT_A_TIME
    if name == JEDI_REQUESTS:
        return _QUORUM | _ONE_AT_A_TIME | {"x-dead-letter-exchange": DEAD}
    if name not in _DELAYED:
        return _QUORUM | {"x-dead-letter-exchange": DEAD}
    # It holds messages for a while, then hands them to the queue that their routing key names.
    return _QUORUM | {
        "x-message-ttl": _DELAYED[name] * 1000,
        "x-dead-letter-exchange": "",
        "x-dead-letter-strategy": "at-least-once",
        "x-overflow": "reject-publish",
    }
