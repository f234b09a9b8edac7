"""A broker that does its worst within what brokers promise: any order, repetition, and services that die on the way."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from panda_fsm.bindings import all_bindings
from panda_fsm.effects import Outgoing
from panda_fsm.messages import AnyMessage, decode
from tests.driver import Database
from tests.inprocess import InProcess, Outlet

_QUEUES: dict[tuple[str, str], set[str]] = defaultdict(set)
for _queue, _exchange, _key in all_bindings():
    _QUEUES[_exchange, _key].add(_queue)


class Died(BaseException):
    """The process is gone; nobody catches that."""


class UnreliableBroker:
    """Messages by queue, as the bindings say. What comes through a delay comes whenever we like."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.waiting: dict[str, list[AnyMessage]] = defaultdict(list)

    def publish(self, messages: Iterable[AnyMessage]) -> None:
        """To every queue that is bound."""
        for message in messages:
            for queue in sorted(_QUEUES[message.exchange, message.routing_key]):
                self.waiting[queue].append(message)

    def relay(self) -> None:
        """What is in the outbox, whoever left it there: a message that waited, as it came; a fresh one by its key."""
        rows = self._database.rows("DELETE FROM outbox RETURNING message_id, exchange, routing_key, body")
        for _, exchange, key, body in sorted(rows):
            message = decode(body.encode())
            if exchange == message.exchange:
                self.publish([message])
            else:
                self.waiting[key].append(message)

    def take(self, queue: str, place: int, most: int) -> list[AnyMessage]:
        """Up to so many messages from somewhere in a queue."""
        found = self.waiting[queue]
        at = place % len(found)
        taken = found[at : at + most]
        self.waiting[queue] = found[:at] + found[at + most :]
        return taken

    def put_back(self, queue: str, messages: list[AnyMessage]) -> None:
        """They were not acknowledged."""
        self.waiting[queue] += messages

    def busy(self) -> list[str]:
        """Queues that hold something."""
        return sorted(queue for queue, messages in self.waiting.items() if messages)


def taken(outlet: Outlet) -> list[Outgoing]:
    """What a service has published since it was asked last."""
    found, outlet.taken = outlet.taken, []
    return found


@contextmanager
def mute(service: InProcess) -> Iterator[None]:
    """It dies after the commit: what it wanted to say is in the outbox only."""
    service.outlet.silent = True
    try:
        yield
    finally:
        service.outlet.silent = False


def die_before_commit(service: InProcess, *messages: AnyMessage) -> None:
    """It dies in its transaction, with everything written and nothing committed."""
    store: Any = service.store
    usual = store.transaction

    @contextmanager
    def doomed() -> Iterator[Any]:
        with usual() as transaction:
            yield transaction
            raise Died

    store.transaction = doomed
    try:
        service.handle(*messages)
    except Died:
        pass
    else:
        raise AssertionError("it committed nothing and lived")
    finally:
        del store.transaction
