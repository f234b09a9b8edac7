"""One broker connection in a thread of its own: it keeps heartbeating whatever the workers do, and comes back."""

import threading
from collections.abc import Callable
from functools import partial
from typing import Any

import pika
import structlog
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.exceptions import ChannelClosedByClient

from broker.declare import Declaration
from broker.frames import QuickConnection
from broker.reasons import NotDeclaredError, reason_of
from panda_fsm.bindings import Further
from panda_fsm.figures import CONNECTED
from panda_fsm.trouble import Backoff, Condition

log = structlog.get_logger()

RECONNECT_S = 0.2, 5.0
_HEARTBEAT_S = 10
"""A network that lets nothing through is noticed after 15 to 30 s: pika looks every 5 s more than this, twice."""
READY_WITHIN_S = 30.0
"""A broker that accepts connections and then does not answer is left, and tried again."""


def parameters(broker_url: str, name: str) -> pika.URLParameters:
    """Connection parameters; a dead broker is noticed instead of waited for. A blocked one is not left: it says so."""
    p = pika.URLParameters(broker_url)
    p.heartbeat = _HEARTBEAT_S
    p.socket_timeout = 5
    p.stack_timeout = 10
    p.client_properties = {"connection_name": name}
    return p


class BrokerThread:
    """Owns one SelectConnection and one channel. Subclasses say what the channel is for in `on_ready`.

    What keeps it from its work is noted in `condition`, under the connection's name.
    """

    def __init__(
        self,
        broker_url: str,
        name: str,
        condition: Condition | None = None,
        further: Further = frozenset(),
    ) -> None:
        self.name = name
        self.further = further
        """Of queues beyond the table, which are declared too."""
        self.parameters = parameters(broker_url, name)
        self.condition = condition or Condition()
        self.channel: Channel | None = None
        self.ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._connection: SelectConnection | None = None
        self._stopping = threading.Event()
        self._backoff = Backoff(*RECONNECT_S)
        self._reason: BaseException | str | None = None
        self._renewing = False
        self._is_counted = False
        self._expected = 0

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
            raise RuntimeError(f"the broker thread {self.name} ended")

    def call(self, work: Callable[[], None]) -> bool:
        """Run `work` in the connection's thread; False when there is no connection."""
        connection = self._connection
        if connection is None:
            return False
        connection.ioloop.add_callback_threadsafe(work)
        return True

    def on_ready(self, channel: Channel) -> None:
        """The channel is open and the topology declared. Whoever overrides it calls `works` once that is true."""

    def on_lost(self, reason: BaseException | str) -> None:
        """The channel is gone; what was unconfirmed or unacknowledged on it is unknown."""

    def before_reconnect(self, reason: BaseException | str) -> None:
        """Called between two connections, when there is none."""

    def works(self) -> None:
        """What the connection is for works: only now the next loss is a new one."""
        self._backoff.reset()
        self.condition.note(self.name, None)
        if not self._is_counted:
            self._is_counted = True
            CONNECTED.add((self.name,))
        self.ready.set()

    def reconnect(self, reason: BaseException | str) -> None:
        """Start over with a new connection, in the connection's thread."""
        self._reason = self._reason or reason
        self._close()

    def renew_channel(self) -> None:
        """Close the channel and open another, in the connection's thread; nothing may be in hand."""
        channel, self.channel = self.channel, None
        if channel is not None and channel.is_open and self._connection is not None:
            self._expect_ready(self._connection)
            self._renewing = True
            channel.close()

    def _run(self) -> None:
        while not self._stopping.is_set():
            try:
                self._serve()
                if not self._stopping.is_set():
                    self.before_reconnect(self._reason or "")
            except Exception as error:  # a broken connection must never end this thread
                log.exception("broker_thread", connection=self.name)
                self._forget(error)
            self._stopping.wait(self._backoff.next_s())

    def _serve(self) -> None:
        """One connection, from its first try to its loss."""
        self._reason = None
        self._renewing = self._is_counted = False
        self._connection = connection = QuickConnection(
            self.parameters,
            on_open_callback=self._opened,
            on_open_error_callback=self._closed,
            on_close_callback=self._closed,
        )
        connection.add_on_connection_blocked_callback(self._blocked)
        connection.add_on_connection_unblocked_callback(self._unblocked)
        self._expect_ready(connection)
        if self._stopping.is_set():  # `stop` found no connection to close
            self._close()
        try:
            connection.ioloop.start()
        finally:
            connection.ioloop.close()  # or its sockets are leaked at each reconnect

    def _opened(self, connection: SelectConnection) -> None:
        Declaration(connection, self._open_channel, self._not_declared, self.further)

    def _open_channel(self) -> None:
        if self._connection is not None and self._connection.is_open:
            self._connection.channel(on_open_callback=self._channel_opened)

    def _not_declared(self, error: BaseException) -> None:
        self.reconnect(NotDeclaredError(f"the topology cannot be declared: {reason_of(error)}"))

    def _channel_opened(self, channel: Channel) -> None:
        channel.add_on_close_callback(self._channel_closed)
        self.channel = channel
        self.on_ready(channel)

    def _expect_ready(self, connection: SelectConnection) -> None:
        self.ready.clear()
        self._expected += 1
        connection.ioloop.call_later(READY_WITHIN_S, partial(self._check_ready, self._expected))

    def _check_ready(self, expected: int) -> None:
        if expected == self._expected and not self.ready.is_set():
            self.reconnect(f"the message broker does not answer within {READY_WITHIN_S:g} s")

    def _blocked(self, _connection: object, frame: Any) -> None:
        reason = f"the message broker is blocked: {frame.method.reason}"
        log.warning("broker_blocked", connection=self.name, reason=frame.method.reason)
        self.condition.note(self.name, reason)
        self.on_blocked(reason)

    def _unblocked(self, *_: object) -> None:
        log.info("broker_unblocked", connection=self.name)
        self.condition.note(self.name, None)
        self.on_blocked(None)

    def on_blocked(self, reason: str | None) -> None:
        """The broker reads nothing that is published (its memory or disk is full); None: it does again."""

    def _channel_closed(self, _channel: Channel, reason: BaseException) -> None:
        if self._renewing and isinstance(reason, ChannelClosedByClient):
            self._renewing = False
            self._open_channel()
            return
        self._reason = self._reason or reason
        self._close()

    def _close(self) -> None:
        connection = self._connection
        if connection is not None and not (connection.is_closing or connection.is_closed):
            connection.close()

    def _closed(self, connection: SelectConnection, error: BaseException | str) -> None:
        self._forget(self._reason or error)
        connection.ioloop.stop()

    def _forget(self, reason: BaseException | str) -> None:
        self._reason = reason
        if not self._stopping.is_set():
            log.warning("broker_away", connection=self.name, reason=reason_of(reason))
            self.condition.note(self.name, reason_of(reason))
        self.ready.clear()
        self.channel = None
        self._connection = None
        self.on_lost(reason)
