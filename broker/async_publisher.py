"""The gateway's publisher: one asynchronous connection on the event loop, a window of unconfirmed messages."""

import asyncio
import contextlib
import random
from dataclasses import dataclass
from typing import Any

import pika
import structlog
from pika.adapters.asyncio_connection import AsyncioConnection
from pika.channel import Channel
from pika.frame import Method
from pika.spec import Basic

from broker.connection import parameters
from broker.frames import encode, write
from broker.topology import Redeclaration, declare, routed_keys
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError
from panda_fsm.events import REQUESTS

log = structlog.get_logger()

_CLOSE_WITHIN_S = 5.0
_RECONNECT_S = (0.2, 5.0)
_SWEEP_S = 0.5
_WINDOW = 5000
"""Most messages without a confirm; who comes later waits, so that memory stays bounded."""


@dataclass(slots=True)
class _Unconfirmed:
    """A message that the broker has not confirmed yet."""

    body: bytes
    confirmed: asyncio.Future[None]
    give_up_at: float


class AsyncPublisher:
    """Publishes persistently and waits for the confirm. Reconnects for ever, with jitter."""

    def __init__(self, broker_url: str, confirm_timeout_s: float = 10) -> None:
        self._parameters = parameters(broker_url, "gateway")
        self._confirm_timeout_s = confirm_timeout_s
        self._must_route = routed_keys()
        self._connection: AsyncioConnection | None = None
        self._channel: Channel | None = None
        self._unconfirmed: dict[int, _Unconfirmed] = {}
        self._returned: set[bytes] = set()
        self._encoded: list[bytes] = []
        self._last_tag = 0
        self._redeclaration = Redeclaration()
        self._closing = False
        self._ready = asyncio.Event()
        self._lost = asyncio.Event()
        self._window = asyncio.Semaphore(_WINDOW)
        self._tasks: list[asyncio.Task[None]] = []

    @property
    def is_connected(self) -> bool:
        """True when messages can be published now."""
        return self._ready.is_set()

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
        if self._connection is not None and self._connection.is_open:
            self._connection.close()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._lost.wait(), _CLOSE_WITHIN_S)

    async def publish(self, message: Outgoing) -> None:
        """Returns when the broker confirmed. Raises NotPublishedError: it may or may not be there, repeat it."""
        async with self._window:
            channel = await self._open_channel()
            self._last_tag += 1
            confirmed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
            give_up_at = asyncio.get_running_loop().time() + self._confirm_timeout_s
            self._unconfirmed[self._last_tag] = _Unconfirmed(message.body, confirmed, give_up_at)
            mandatory = message.exchange == REQUESTS or (message.exchange, message.routing_key) in self._must_route
            if not self._encoded:
                asyncio.get_running_loop().call_soon(self._write)
            self._encoded.append(encode(channel, message, mandatory))
            await confirmed

    def _write(self) -> None:
        """Everything that was published in this turn of the loop goes in one write."""
        encoded, self._encoded = self._encoded, []
        if encoded and self._channel is not None and self._channel.is_open:
            write(self._channel, encoded)

    async def _open_channel(self) -> Channel:
        if self._channel is None:
            try:
                await asyncio.wait_for(self._ready.wait(), self._confirm_timeout_s)
            except TimeoutError:
                raise NotPublishedError("the message broker is away") from None
        if self._channel is None:
            raise NotPublishedError("the message broker went away")
        return self._channel

    async def _stay_connected(self) -> None:
        attempt = 0
        while True:
            self._lost.clear()
            self._connection = AsyncioConnection(
                self._parameters,
                on_open_callback=lambda connection: connection.channel(on_open_callback=self._channel_open),
                on_open_error_callback=self._closed,
                on_close_callback=self._closed,
            )
            ready = asyncio.create_task(self._ready.wait())
            lost = asyncio.create_task(self._lost.wait())
            try:
                await asyncio.wait((ready, lost), return_when=asyncio.FIRST_COMPLETED)
                attempt = 0 if ready.done() else attempt + 1
                await lost
            finally:
                ready.cancel()
                lost.cancel()
            low, high = _RECONNECT_S
            await asyncio.sleep(min(high, low * 2 ** min(attempt, 10)) * random.uniform(0.5, 1.0))  # noqa: S311

    def _channel_open(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        declare(channel, lambda: self._declared(channel))

    def _declared(self, channel: Channel) -> None:
        channel.confirm_delivery(self._answered)
        channel.add_on_return_callback(self._unroutable)
        self._last_tag = 0
        self._channel = channel
        self._ready.set()

    def _channel_closed(self, _channel: Channel, _reason: BaseException) -> None:
        """A channel never comes back alone: start over with a new connection."""
        self._forget("the channel to the message broker was closed")
        if self._connection is not None and self._connection.is_open:
            self._connection.close()

    def _closed(self, _connection: Any, reason: BaseException | str) -> None:
        if not self._closing:
            log.warning("broker_away", connection="gateway", reason=str(reason))
        self._forget("the connection to the message broker was lost")
        self._lost.set()

    def _forget(self, why: str) -> None:
        self._ready.clear()
        self._channel = None
        self._redeclaration.end()
        self._returned.clear()
        self._encoded = []
        unconfirmed, self._unconfirmed = self._unconfirmed, {}
        for entry in unconfirmed.values():
            _fail(entry, why)

    def _answered(self, frame: Method[Basic.Ack | Basic.Nack]) -> None:
        answer = frame.method
        if answer.multiple:
            tags = [tag for tag in self._unconfirmed if tag <= answer.delivery_tag]
        else:
            tags = [answer.delivery_tag]
        for tag in tags:
            entry = self._unconfirmed.pop(tag, None)
            if entry is None:
                continue  # given up already
            if isinstance(answer, Basic.Nack):
                _fail(entry, "the message broker refused the message")
            elif self._returned and entry.body in self._returned:
                self._returned.discard(entry.body)
                _fail(entry, "no queue takes the message")
            elif not entry.confirmed.done():
                entry.confirmed.set_result(None)

    def _unroutable(
        self, channel: Channel, method: Basic.Return, _properties: pika.BasicProperties, body: bytes
    ) -> None:
        """Comes before the confirm of the same message. Its queue was deleted: declare everything again."""
        log.error("unroutable", exchange=method.exchange, routing_key=method.routing_key)
        self._returned.add(body)
        self._redeclaration.start(channel)

    async def _sweep(self) -> None:
        """Give up on messages that got no answer in time; oldest first, so it stops at the first young one."""
        while True:
            await asyncio.sleep(_SWEEP_S)
            now = asyncio.get_running_loop().time()
            for tag, entry in list(self._unconfirmed.items()):
                if entry.give_up_at > now:
                    break
                del self._unconfirmed[tag]
                _fail(entry, f"the message broker did not confirm within {self._confirm_timeout_s:g} s")


def _fail(entry: _Unconfirmed, why: str) -> None:
    if not entry.confirmed.done():
        entry.confirmed.set_exception(NotPublishedError(why))
