"""One broker connection in a thread of its own: it keeps heartbeating whatever the workers do, and comes back."""

import random
import threading
from collections.abc import Callable
from typing import Any

import pika
import structlog
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel

from broker.topology import declare

log = structlog.get_logger()

_RECONNECT_S = (0.2, 5.0)


def parameters(broker_url: str, name: str) -> pika.URLParameters:
    """Connection parameters; a blocked or dead broker is noticed instead of waited for."""
    p = pika.URLParameters(broker_url)
    p.heartbeat = 30
    p.blocked_connection_timeout = 30
    p.socket_timeout = 5
    p.stack_timeout = 10
    p.client_properties = {"connection_name": name}
    return p


class BrokerThread:
    """Owns one SelectConnection and one channel. Subclasses say what the channel is for in `on_ready`."""

    def __init__(self, broker_url: str, name: str) -> None:
        self._parameters = parameters(broker_url, name)
        self._name = name
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._connection: SelectConnection | None = None
        self.channel: Channel | None = None
        self._stopping = threading.Event()
        self.ready = threading.Event()
        self._attempt = 0

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Close the connection and end the thread."""
        self._stopping.set()
        self.call(self._close)
        self._thread.join(10)

    def check_alive(self) -> None:
        """Raises RuntimeError when the thread has ended by itself: better a dead process than a deaf one."""
        if not self._thread.is_alive() and not self._stopping.is_set():
            raise RuntimeError(f"the broker thread {self._name} ended")

    def call(self, work: Callable[[], None]) -> bool:
        """Run `work` in the connection's thread; False when there is no connection."""
        connection = self._connection
        if connection is None:
            return False
        connection.ioloop.add_callback_threadsafe(work)
        return True

    def on_ready(self, channel: Channel) -> None:
        """The channel is open and the topology declared."""

    def on_lost(self) -> None:
        """The channel is gone; what was unconfirmed or unacknowledged on it is unknown."""

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._connection = connection = SelectConnection(
                    self._parameters,
                    on_open_callback=self._opened,
                    on_open_error_callback=self._closed,
                    on_close_callback=self._closed,
                )
                try:
                    connection.ioloop.start()
                finally:
                    connection.ioloop.close()  # or its sockets are leaked at each reconnect
            except Exception as error:  # a broken connection must never end this thread
                log.error("broker_thread", connection=self._name, error=repr(error))
                self._forget()
            if not self._stopping.is_set():
                low, high = _RECONNECT_S
                self._attempt += 1
                self._stopping.wait(min(high, low * 2 ** min(self._attempt, 10)) * random.uniform(0.5, 1.0))  # noqa: S311

    def _opened(self, connection: SelectConnection) -> None:
        connection.channel(on_open_callback=self._channel_opened)

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)

        def declared() -> None:
            self.channel = channel
            self._attempt = 0
            self.on_ready(channel)
            self.ready.set()

        declare(channel, declared)

    def _channel_closed(self, _channel: Channel, reason: BaseException) -> None:
        """A channel never comes back alone: start over with a new connection."""
        if not self._stopping.is_set():
            log.warning("channel_closed", connection=self._name, reason=str(reason))
        self._close()

    def _close(self, *_: Any) -> None:
        connection = self._connection
        if connection is None:
            return
        if connection.is_open:
            connection.close()
        elif connection.is_closed:
            connection.ioloop.stop()

    def _closed(self, connection: SelectConnection, reason: BaseException | str) -> None:
        if not self._stopping.is_set():
            log.warning("broker_away", connection=self._name, reason=str(reason))
        self._forget()
        connection.ioloop.stop()

    def _forget(self) -> None:
        self.ready.clear()
        self.channel = None
        self._connection = None
        self.on_lost()
