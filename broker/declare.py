"""Declares what is missing: an exchange or queue that exists is taken as it is, whatever its arguments."""

from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import structlog
from pika.channel import Channel
from pika.connection import Connection
from pika.exceptions import ChannelClosedByBroker

from broker.reasons import DIFFERS, NOT_FOUND, reason_of
from broker.topology import Exchange, exchanges, queues
from panda_fsm.bindings import EVERYTHING, Further

log = structlog.get_logger()

_Call = Callable[[Channel, Callable[[object], None]], None]
"""Sends something on a channel, and says whom to tell of the answer."""


class Declaration:
    """Declares everything in order, on channels of its own: asking for what is missing closes a channel.

    One argument that differs (an older program's queue, an operator's) must stop nobody, hence the question first.
    """

    def __init__(
        self,
        connection: Connection,
        done: Callable[[], None],
        failed: Callable[[BaseException], None],
        further: Further = frozenset(),
    ) -> None:
        """`done` and `failed` are called in the connection's thread; neither is when the connection goes."""
        self._connection = connection
        self._done = done
        self._failed = failed
        self._steps = _steps(further)
        self._ask, self._make = next(self._steps)
        self._making = False
        self._open_channel()

    def _open_channel(self) -> None:
        if self._connection.is_open:
            self._connection.channel(on_open_callback=self._opened)

    def _opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._closed)
        self._call(channel)

    def _call(self, channel: Channel) -> None:
        (self._make if self._making else self._ask)(channel, partial(self._answered, channel))

    def _answered(self, channel: Channel, _frame: object) -> None:
        if self._advance():
            self._call(channel)
        else:
            channel.close()
            self._done()

    def _advance(self) -> bool:
        """Go on to the next step; False after the last."""
        following = next(self._steps, None)
        if following is not None:
            self._ask, self._make = following
            self._making = False
        return following is not None

    def _closed(self, _channel: Channel, reason: BaseException) -> None:
        if not isinstance(reason, ChannelClosedByBroker):
            return  # by us, or with its connection
        if reason.reply_code == NOT_FOUND and not self._making:
            self._making = True
            self._open_channel()
        elif reason.reply_code == DIFFERS:  # somebody else declared it between question and answer
            if self._advance():
                self._open_channel()
            else:
                self._done()
        else:
            self._failed(reason)


class Redeclaration:
    """Declares everything again after a message found no queue; once at a time, however many come back."""

    def __init__(self) -> None:
        self._connection: Connection | None = None
        """Where it is under way."""

    def start(self, connection: Connection, further: Further = frozenset()) -> None:
        """Declare on `connection`, unless that is under way there already."""
        if self._connection is not connection and connection.is_open:
            self._connection = connection
            Declaration(connection, self._end, self._failed, further)

    def _end(self) -> None:
        self._connection = None

    def _failed(self, error: BaseException) -> None:
        log.error("not_redeclared", reason=reason_of(error))
        self._end()


def _steps(further: Further) -> Iterator[tuple[_Call, _Call]]:
    """For each thing how to ask for it, and how to make it."""
    for exchange in exchanges(further):
        yield _exchange(exchange, passive=True), _exchange(exchange)
        if exchange.hands_on_to is not None:
            hand_on = _handing_on(exchange.name, exchange.hands_on_to)
            yield hand_on, hand_on
    for queue in queues(further):
        yield _queue(queue.name, passive=True), _queue(queue.name, arguments=dict(queue.arguments))
        for pair in sorted(queue.bindings):
            bind = _binding(queue.name, *pair)
            yield bind, bind


def _exchange(one: Exchange, *, passive: bool = False) -> _Call:
    arguments = dict(one.arguments)

    def call(channel: Channel, then: Callable[[object], None]) -> None:
        channel.exchange_declare(one.name, one.type, passive=passive, durable=True, arguments=arguments, callback=then)

    return call


def _handing_on(name: str, to: str) -> _Call:
    def call(channel: Channel, then: Callable[[object], None]) -> None:
        channel.exchange_bind(to, name, EVERYTHING, callback=then)

    return call


def _queue(name: str, *, passive: bool = False, arguments: dict[str, Any] | None = None) -> _Call:
    def call(channel: Channel, then: Callable[[object], None]) -> None:
        channel.queue_declare(name, passive=passive, durable=True, arguments=arguments, callback=then)

    return call


def _binding(queue: str, exchange: str, key: str) -> _Call:
    def call(channel: Channel, then: Callable[[object], None]) -> None:
        channel.queue_bind(queue, exchange, key, callback=then)

    return call
