"""The gateway's publisher: one asynchronous connection on the event loop, a window of unconfirmed messages."""

import asyncio
import contextlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import structlog
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic, BasicProperties

from broker.connection import READY_WITHIN_S, RECONNECT_S, parameters
from broker.declare import Declaration, Redeclaration
from broker.frames import encode, write
from broker.pace import Pace
from broker.reasons import reason_of
from broker.window import Window
from panda_fsm.bindings import Further
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError
from panda_fsm.figures import CONNECTED
from panda_fsm.trouble import Backoff

log = structlog.get_logger()

_CLOSE_WITHIN_S = 5.0
_SWEEP_S = 0.5
_BLOCKED_S = 1.0
"""What was on its way when the broker said that it is blocked is waited for so long: some of it was read before."""
_LINGER_S = 0.02
"""So long messages gather while many come: nobody waits for them, and each write wakes us, the broker and a service."""
_ENOUGH = 200
"""Messages that are written without waiting for more."""
_WINDOW = 5000, 16 * 1024 * 1024
"""Most messages and bytes without a confirm; who comes later waits, so that memory stays bounded."""


@dataclass(slots=True)
class _Unconfirmed:
    """A message that the broker has not confirmed yet."""

    message_id: str
    octets: int
    confirmed: asyncio.Future[None]
    give_up_at: float


class AsyncPublisher:
    """Publishes persistently and waits for the confirm. Reconnects for ever, with jitter."""

    def __init__(self, broker_url: str, confirm_timeout_s: float = 10, further: Further = frozenset()) -> None:
        self.trouble: str | None = None
        """Why nothing can be published now; None while all is well or we are connecting for the first time."""
        self._parameters = parameters(broker_url, "gateway")
        self._further = further
        self._confirm_timeout_s = confirm_timeout_s
        self._connection: AsyncioConnection | None = None
        self._channel: Channel | None = None
        self._unconfirmed: dict[int, _Unconfirmed] = {}
        self._returned: set[str] = set()
        self._encoded: list[bytes] = []
        self._pace = Pace()
        self._last_tag = 0
        self._redeclaration = Redeclaration()
        self._backoff = Backoff(*RECONNECT_S)
        self._closing = False
        self._blocked_by: str | None = None
        self._reason: BaseException | str | None = None
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._window = Window(*_WINDOW)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_connected(self) -> bool:
        """True while there is a channel to publish on."""
        return self._ready.is_set()

    @property
    def is_blocked(self) -> bool:
        """True while the broker reads nothing that is published: its memory or disk is full."""
        return self._blocked_by is not None

    async def open(self) -> None:
        """Start connecting; what is published before there is a connection waits for it."""
        self._tasks = [asyncio.create_task(self._stay_connected()), asyncio.create_task(self._sweep())]

    async def close(self) -> None:
        """Wait for the confirms that are under way, then end the connection."""
        self._closing = True
        pending = [entry.confirmed for entry in self._unconfirmed.values()]
        if pending:
            await asyncio.wait(pending, timeout=self._confirm_timeout_s)
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._connection is not None and not self._connection.is_closed:
            self._disconnect()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _CLOSE_WITHIN_S)

    async def publish(self, message: Outgoing) -> None:
        """Returns when the broker confirmed.

        Raises UnsendableError: no broker will ever take it; NotPublishedError: it may or may not be there, repeat it.
        """
        octets = len(message.body)
        if not self._window.enter_at_once(octets):
            await self._enter_window(octets)
        try:
            confirmed = self._send(await self._open_channel(), message)
        except BaseException:
            self._window.leave(octets)
            raise
        await confirmed

    async def _enter_window(self, octets: int) -> None:
        try:
            async with asyncio.timeout(self._confirm_timeout_s):
                await self._window.enter(octets)
        except TimeoutError:
            raise NotPublishedError("the message broker is too slow: too many messages wait for its confirm") from None

    def _send(self, channel: Channel, message: Outgoing) -> asyncio.Future[None]:
        loop = asyncio.get_running_loop()
        frames = encode(channel, message)
        if not self._encoded:
            loop.call_later(_LINGER_S if self._pace.is_busy else 0, self._write)
        self._encoded.append(frames)
        if len(self._encoded) == _ENOUGH:
            loop.call_soon(self._write)
        self._last_tag += 1
        confirmed: asyncio.Future[None] = loop.create_future()
        self._unconfirmed[self._last_tag] = _Unconfirmed(
            message.message_id, len(message.body), confirmed, loop.time() + self._confirm_timeout_s
        )
        return confirmed

    def _write(self) -> None:
        """Everything that was published in this turn of the loop, or while it lingered, goes in one write."""
        encoded, self._encoded = self._encoded, []
        if not encoded:
            return
        self._pace.note(len(encoded))
        if self._channel is not None and self._channel.is_open:
            write(self._channel, encoded)

    async def _open_channel(self) -> Channel:
        if self._blocked_by is not None:
            raise NotPublishedError(self._blocked_by)
        if self._channel is None:
            try:
                await asyncio.wait_for(self._ready.wait(), self._confirm_timeout_s)
            except TimeoutError:
                raise NotPublishedError(f"the message broker is away: {self.trouble or 'connecting'}") from None
        if self._channel is None:
            raise NotPublishedError(f"the message broker went away: {self.trouble}")
        return self._channel

    async def _stay_connected(self) -> None:
        while True:
            try:
                await self._connect_once()
            except Exception as error:  # whatever it was, it must not be the last try
                log.exception("broker_connection", connection="gateway")
                self._forget(error)
            await asyncio.sleep(self._backoff.next_s())

    async def _connect_once(self) -> None:
        """One connection, from its first try to its loss."""
        self._lost.clear()
        self._reason = None
        self._connection = connection = AsyncioConnection(
            self._parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._closed,
            on_close_callback=self._closed,
        )
        connection.add_on_connection_blocked_callback(self._blocked)
        connection.add_on_connection_unblocked_callback(self._unblocked)
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(self._lost.wait(), READY_WITHIN_S)
        if not self._lost.is_set() and not self.is_connected:
            self._give_up(f"the message broker does not answer within {READY_WITHIN_S:g} s")
        await self._lost.wait()

    def _opened(self, connection: AsyncioConnection) -> None:
        def declared() -> None:
            connection.channel(on_open_callback=self._channel_opened)

        Declaration(connection, declared, lambda error: self._give_up(f"undeclared: {reason_of(error)}"), self._further)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        channel.add_on_return_callback(self._unroutable)
        channel.confirm_delivery(self._answered, callback=lambda _frame: self._works(channel))

    def _works(self, channel: Channel) -> None:
        self._last_tag = 0
        self._channel = channel
        CONNECTED.add(("gateway",))
        self._backoff.reset()
        self.trouble = None
        self._ready.set()

    def _channel_closed(self, _channel: Channel, reason: BaseException) -> None:
        """A channel never comes back alone: start over with a new connection."""
        self._give_up(reason)

    def _give_up(self, reason: BaseException | str) -> None:
        self._reason = self._reason or reason
        self._forget(self._reason)
        self._disconnect()

    def _disconnect(self) -> None:
        connection = self._connection
        if connection is not None and not (connection.is_closing or connection.is_closed):
            connection.close()

    def _closed(self, _connection: Any, error: BaseException | str) -> None:
        reason = self._reason or error
        if not self._closing:
            log.warning("broker_away", connection="gateway", reason=reason_of(reason))
        self._forget(reason)
        self._lost.set()

    def _forget(self, reason: BaseException | str) -> None:
        self.trouble = reason_of(reason)
        self._ready.clear()
        self._channel = None
        self._blocked_by = None
        self._returned.clear()
        self._encoded = []
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for entry in unconfirmed.values():
            self._fail(entry, f"the message broker went away: {self.trouble}")

    def _blocked(self, _connection: object, frame: Any) -> None:
        log.warning("broker_blocked", connection="gateway", reason=frame.method.reason)
        self.trouble = self._blocked_by = f"the message broker is blocked: {frame.method.reason}"
        soon = asyncio.get_running_loop().time() + _BLOCKED_S
        for entry in self._unconfirmed.values():
            entry.give_up_at = min(entry.give_up_at, soon)

    def _unblocked(self, *_: object) -> None:
        log.info("broker_unblocked", connection="gateway")
        self.trouble = self._blocked_by = None

    def _answered(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        answer = frame.method
        tags = [answer.delivery_tag or 0]
        if answer.multiple:
            tags = [tag for tag in self._unconfirmed if tag <= tags[0]]
        for tag in tags:
            entry = self._unconfirmed.pop(tag, None)
            if entry is None:
                continue  # given up already
            if entry.message_id in self._returned:
                self._returned.discard(entry.message_id)
                self._fail(entry, "no queue takes the message")
            elif isinstance(answer, Basic.Nack):
                self._fail(entry, "the message broker could not store the message")
            else:
                self._settle(entry, lambda future: future.set_result(None))

    def _unroutable(self, channel: Channel, method: Basic.Return, properties: BasicProperties, _body: bytes) -> None:
        """Comes before the confirm of the same message. Its queue was deleted: declare everything again."""
        log.error("unroutable", exchange=method.exchange, routing_key=method.routing_key)
        self._returned.add(properties.message_id or "")
        self._redeclaration.start(channel.connection, self._further)

    async def _sweep(self) -> None:
        """Give up on messages that got no answer in time."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            try:
                self._give_up_late(asyncio.get_running_loop().time())
            except Exception:  # this must go on, or requests would hang
                log.exception("sweep", connection="gateway")

    def _give_up_late(self, now: float) -> None:
        """Oldest first, so it stops at the first young one."""
        late = self._blocked_by or f"the message broker did not confirm within {self._confirm_timeout_s:g} s"
        for tag, entry in list(self._unconfirmed.items()):
            if entry.give_up_at > now:
                break
            del self._unconfirmed[tag]
            self._fail(entry, late)

    def _fail(self, entry: _Unconfirmed, why: str) -> None:
        self._settle(entry, lambda future: future.set_exception(NotPublishedError(why)))

    def _settle(self, entry: _Unconfirmed, answer: Callable[[asyncio.Future[None]], None]) -> None:
        """It is not on its way any more; who waits for it is told, if he still does."""
        self._window.leave(entry.octets)
        if not entry.confirmed.done():
            answer(entry.confirmed)
