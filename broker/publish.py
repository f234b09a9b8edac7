"""Publishes windows of messages: persistent, confirmed, and mandatory where somebody must be listening."""

import threading
from collections.abc import Sequence

import structlog
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from broker.connection import BrokerThread
from broker.frames import encode, write
from broker.topology import Redeclaration, routed_keys
from panda_fsm.effects import Outgoing

log = structlog.get_logger()


class _Window:
    """The messages of one publish call: which are confirmed, and whether the broker answered for all."""

    def __init__(self, messages: Sequence[Outgoing]) -> None:
        self.messages = messages
        self.outstanding = len(messages)
        self.confirmed = [False] * len(messages)
        self.complete = threading.Event()

    def settle(self, index: int, confirmed: bool) -> None:
        self.confirmed[index] = confirmed
        self.outstanding -= 1
        if self.outstanding == 0:
            self.complete.set()


class BrokerPublisher(BrokerThread):
    """The Publisher port over a connection of its own."""

    def __init__(self, broker_url: str, name: str) -> None:
        super().__init__(broker_url, f"{name}.publish")
        self._must_route = routed_keys()
        self._next_tag = 1
        self._oldest = 1
        self._pending: dict[int, tuple[_Window, int]] = {}
        self._returned: set[bytes] = set()
        self._redeclaration = Redeclaration()

    def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> list[Outgoing]:
        """Publish all; return those confirmed within `timeout_s`. The rest may or may not have arrived."""
        if not self.ready.wait(timeout_s):
            return []
        window = _Window(messages)
        if self.call(lambda: self._send(window)):
            window.complete.wait(timeout_s)
        return [message for message, ok in zip(messages, list(window.confirmed), strict=True) if ok]

    def on_ready(self, channel: Channel) -> None:
        self._next_tag = self._oldest = 1
        self._redeclaration.end()
        channel.confirm_delivery(self._confirmed)
        channel.add_on_return_callback(self._unroutable)

    def on_lost(self) -> None:
        pending, self._pending = self._pending, {}
        self._returned.clear()
        for window, index in pending.values():
            window.settle(index, confirmed=False)

    def _send(self, window: _Window) -> None:
        channel = self.channel
        if channel is None or not channel.is_open:
            window.complete.set()
            return
        encoded = []
        for index, message in enumerate(window.messages):
            mandatory = (
                (message.exchange, message.routing_key) in self._must_route
                or message.headers is not None
                or not message.exchange
            )
            self._pending[self._next_tag] = (window, index)
            self._next_tag += 1
            encoded.append(encode(channel, message, mandatory))
        write(channel, encoded)

    def _confirmed(self, frame: object) -> None:
        method = frame.method  # type: ignore[attr-defined]
        tag, ok = method.delivery_tag, isinstance(method, Basic.Ack)
        tags = range(self._oldest, tag + 1) if method.multiple else (tag,)
        for each in tags:
            entry = self._pending.pop(each, None)
            if entry is not None:
                window, index = entry
                body = window.messages[index].body
                window.settle(index, ok and body not in self._returned)
                self._returned.discard(body)
        if method.multiple:
            self._oldest = tag + 1

    def _unroutable(self, channel: Channel, method: Basic.Return, _properties: BasicProperties, body: bytes) -> None:
        """Comes before the confirm of the same message. Its queue was deleted: declare everything again."""
        log.error("unroutable", exchange=method.exchange, routing_key=method.routing_key)
        self._returned.add(body)
        self._redeclaration.start(channel)
