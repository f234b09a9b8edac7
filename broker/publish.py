"""Publishes windows of messages: persistent, confirmed, and mandatory where somebody must be listening."""

import threading
import time
from collections.abc import Iterator, Sequence
from enum import Enum
from functools import partial

import structlog
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from broker.connection import BrokerThread
from broker.declare import Declaration, Redeclaration
from broker.frames import QuickConnection, encode, write
from broker.leaderless import UnconsumedQueues
from broker.reasons import blames_message, reason_of
from panda_fsm.bindings import Further
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError, UnsendableError
from panda_fsm.figures import CONFIRMS, PUBLISHED
from panda_fsm.ports import Published
from panda_fsm.trouble import Condition

log = structlog.get_logger()

SLICE_BYTES = 4 * 1024 * 1024
"""No more than this is on its way at a time, whatever a message weighs: a confirm must come before the time is up."""


class _Fate(Enum):
    """What the broker said of a message."""

    UNKNOWN = 0
    CONFIRMED = 1
    RETURNED = 2
    NACKED = 3


class _Slice:
    """Messages that are on their way together: what became of each, and whether the broker answered for all."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.messages = messages
        self.outstanding = len(messages)
        self.fates = [_Fate.UNKNOWN] * len(messages)
        self.refused: dict[str, str] = {}
        self.lost: str | None = None
        self.over = threading.Event()

    def settle(self, index: int, fate: _Fate) -> None:
        self.fates[index] = fate
        self.outstanding -= 1
        if self.outstanding == 0:
            self.over.set()

    def tell(self, published: Published, *, is_silent: bool) -> None:
        """Add what is known now. `is_silent`: the broker is there, and the time is up."""
        for message, fate in zip(self.messages, list(self.fates), strict=True):
            if fate is _Fate.CONFIRMED:
                published.confirmed.append(message)
            elif fate is _Fate.RETURNED:
                published.returned.append(message)
            elif fate is _Fate.NACKED or (is_silent and message.message_id not in self.refused):
                published.declined.append(message)
        published.refused.update(self.refused)
        published.lost = self.lost


class BrokerPublisher(BrokerThread):
    """The Publisher port over a connection of its own. One thread publishes at a time."""

    def __init__(
        self,
        broker_url: str,
        name: str,
        condition: Condition | None = None,
        further: Further = frozenset(),
    ) -> None:
        super().__init__(broker_url, f"{name}.publish", condition, further)
        self._next_tag = self._oldest = 1
        self._pending: dict[int, tuple[_Slice, int]] = {}
        self._returned: set[str] = set()
        self._redeclaration = Redeclaration()
        self._unconsumed = UnconsumedQueues(self.parameters)
        self._blocked_by: str | None = None
        CONFIRMS.watch(self, lambda its: len(its._pending), (self.name,))

    def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
        """Publish all, and wait up to `timeout_s` for the broker's word on them.

        What is in none of the answer's lists may or may not have arrived; a nack says no more than that, nor does
        silence.
        """
        published = self._publish(messages, timeout_s)
        self._count(published, len(messages))
        return published

    def _publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
        deadline = time.monotonic() + timeout_s
        published = Published()
        if not self.ready.wait(timeout_s):
            return published
        for part in _slices(messages):
            one, is_silent = _Slice(part), False
            if self._blocked_by is None and self.call(partial(self._send, one)):
                is_silent = not one.over.wait(max(0.0, deadline - time.monotonic()))
            if is_silent:
                self.call(partial(self._note_silence, one))
            one.tell(published, is_silent=is_silent)
            if one.outstanding:
                break  # away, blocked or slow
        return published

    def _count(self, published: Published, messages: int) -> None:
        outcomes = {
            "confirmed": len(published.confirmed), "returned": len(published.returned),
            "declined": len(published.declined), "refused": len(published.refused),
        }  # fmt: skip
        for outcome, many in {**outcomes, "unknown": messages - sum(outcomes.values())}.items():
            if many:
                PUBLISHED.add((self.name, outcome), many)

    def declare(self, further: Further, timeout_s: float) -> None:
        """Declare more than was known at the start; it is declared again whenever the rest is.

        Raises NotPublishedError when the broker does not answer in time.
        """
        deadline = time.monotonic() + timeout_s
        done = threading.Event()
        self.further |= further

        def begin() -> None:
            if self._connection is not None and self._connection.is_open:
                Declaration(self._connection, done.set, self._not_declared, self.further)

        if not (self.ready.wait(timeout_s) and self.call(begin) and done.wait(max(0.0, deadline - time.monotonic()))):
            raise NotPublishedError(f"queues cannot be declared: {self.condition.trouble or 'no answer'}")

    def on_ready(self, channel: Channel) -> None:
        self._next_tag = self._oldest = 1
        channel.add_on_return_callback(self._unroutable)
        if isinstance(channel.connection, QuickConnection):
            channel.connection.confirmed = self._answered
        channel.confirm_delivery(self._answered, callback=lambda _frame: self.works())

    def on_lost(self, reason: BaseException | str) -> None:
        pending, self._pending = self._pending, {}
        self._blocked_by = None
        for one in {id(one): one for one, _ in pending.values()}.values():
            one.lost = reason_of(reason) if blames_message(reason) else None
        for one, index in pending.values():
            returned = one.messages[index].message_id in self._returned
            one.fates[index] = _Fate.RETURNED if returned else _Fate.UNKNOWN
            one.over.set()
        self._returned.clear()

    def on_blocked(self, reason: str | None) -> None:
        """What is on its way has not been read: nobody waits for it."""
        self._blocked_by = reason
        for one, _ in self._pending.values() if reason else ():
            one.over.set()

    def _send(self, one: _Slice) -> None:
        channel = self.channel
        if channel is None or not channel.is_open:
            one.over.set()
            return
        encoded = []
        for index, message in enumerate(one.messages):
            try:
                frames = encode(channel, message)
            except UnsendableError as error:
                one.refused[message.message_id] = str(error)
                one.settle(index, _Fate.UNKNOWN)
                continue
            self._pending[self._next_tag] = (one, index)
            self._next_tag += 1
            encoded.append(frames)
        if encoded:
            write(channel, encoded)

    def _answered(self, frame: object) -> None:
        method: Basic.Ack | Basic.Nack = frame.method  # type: ignore[attr-defined]
        tag = method.delivery_tag or 0
        tags = range(self._oldest, tag + 1) if method.multiple else (tag,)
        for each in tags:
            entry = self._pending.pop(each, None)
            if entry is not None:
                self._settle(*entry, confirmed=isinstance(method, Basic.Ack))
        if method.multiple:
            self._oldest = tag + 1

    def _settle(self, one: _Slice, index: int, *, confirmed: bool) -> None:
        message = one.messages[index]
        if message.message_id in self._returned:
            self._returned.discard(message.message_id)
            one.settle(index, _Fate.RETURNED)
        else:
            one.settle(index, _Fate.CONFIRMED if confirmed else _Fate.NACKED)
            self._unconsumed.note(message, confirmed, self.further)

    def _note_silence(self, one: _Slice) -> None:
        """What was not answered in time may be for a queue without a leader."""
        for its, index in self._pending.values():
            if its is one:
                self._unconsumed.note(one.messages[index], False, self.further)

    def _unroutable(self, channel: Channel, method: Basic.Return, properties: BasicProperties, _body: bytes) -> None:
        """Comes before the confirm of the same message. Its queue was deleted: declare everything again."""
        log.error("unroutable", exchange=method.exchange, routing_key=method.routing_key)
        self._returned.add(properties.message_id or "")
        self._redeclaration.start(channel.connection, self.further)


def _slices(messages: Sequence[Outgoing]) -> Iterator[Sequence[Outgoing]]:
    """The messages in order, so many at a time as weigh `SLICE_BYTES` at most; a heavier one goes alone."""
    begin = held = 0
    for at, message in enumerate(messages):
        if held and held + len(message.body) > SLICE_BYTES:
            yield messages[begin:at]
            begin, held = at, 0
        held += len(message.body)
    if begin < len(messages):
        yield messages[begin:]
