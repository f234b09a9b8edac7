"""A connection to the broker that is made anew whenever it is lost, in a thread of its own."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
from collections.abc import Callable, Iterator
from typing import Self

import pika
from pika.adapters.blocking_connection import BlockingConnection
from pika.exceptions import AMQPError, ConnectionWrongStateError

log = logging.getLogger("panda_fsm_jedi")

_HEARTBEAT_S = 30
_ANSWERS_WITHIN_S = 15.0
_TURN_S = 0.5
"""After so long without a message each turn ends, so that what is overdue is looked at."""
_PAUSE_S = 0.1, 5.0


class Connection:
    """Runs `serve` on each new connection, then `turn` again and again until it is lost or `stop` is called.

    Both run in the thread of this object; an error that is not the broker's ends it and is raised by `check`.
    """

    def __init__(self, url: str, name: str) -> None:
        self._parameters = pika.URLParameters(url)
        self._parameters.heartbeat = _HEARTBEAT_S
        self._parameters.blocked_connection_timeout = _ANSWERS_WITHIN_S * 4
        self._parameters.socket_timeout = self._parameters.stack_timeout = _ANSWERS_WITHIN_S
        self._parameters.client_properties = {"connection_name": name}
        self.name = name
        self.trouble: str | None = None
        """Why there is no connection now; None while there is one."""
        self._connection: BlockingConnection | None = None
        self._stopping = threading.Event()
        self._failed: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def serve(self, connection: BlockingConnection) -> None:
        """Open channels and begin to consume. May raise AMQPError: tried again on a new connection."""

    def turn(self) -> None:
        """Look at what is overdue; called twice a second at least."""

    def start(self) -> None:
        """Begin to connect; for ever, until `stop`."""
        self._thread.start()

    def stop(self) -> None:
        """End the thread and its connection; what was not acknowledged comes again to whoever is next."""
        self._stopping.set()
        self.wake(lambda: None)
        if self._thread.is_alive() and self._thread is not threading.current_thread():
            self._thread.join()

    def check(self) -> None:
        """Raise what ended the thread, if something did."""
        if self._failed is not None:
            raise self._failed

    def wake(self, act: Callable[[], None]) -> None:
        """Have the thread do something soon; nothing while there is no connection, for then it begins anew anyway."""
        connection = self._connection
        if connection is not None:
            with contextlib.suppress(ConnectionWrongStateError):
                connection.add_callback_threadsafe(act)

    @property
    def is_own_thread(self) -> bool:
        """Whether the caller is a callback of this connection."""
        return threading.current_thread() is self._thread

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def _run(self) -> None:
        pause = _PAUSE_S[0]
        while not self._stopping.is_set():
            try:
                with _opened(self._parameters) as connection:
                    self._connection = connection
                    self.serve(connection)
                    self._now(None)
                    pause = _PAUSE_S[0]
                    while not self._stopping.is_set():
                        connection.process_data_events(time_limit=_TURN_S)
                        self.turn()
            except (AMQPError, OSError) as error:
                self._now(reason_of(error))
                self._stopping.wait(random.uniform(pause / 2, pause))  # noqa: S311  # so that many do not come at once
                pause = min(pause * 2, _PAUSE_S[1])
            except Exception as error:
                log.exception("%s has ended", self.name)
                self._failed = error
                return
            finally:
                self._connection = None

    def _now(self, trouble: str | None) -> None:
        if trouble != self.trouble and not self._stopping.is_set():
            log.warning("%s: %s", self.name, trouble or "connected")
        self.trouble = trouble


@contextlib.contextmanager
def _opened(parameters: pika.URLParameters) -> Iterator[BlockingConnection]:
    connection = BlockingConnection(parameters)
    try:
        yield connection
    finally:
        with contextlib.suppress(AMQPError):  # it may be closed: why is what was raised inside
            connection.close()


def reason_of(error: BaseException) -> str:
    """One line of what the broker said, or of what kept us from it."""
    inner = getattr(error, "exception", None) or (error.args[0] if len(error.args) == 1 else None)
    if isinstance(inner, BaseException):
        return reason_of(inner)
    told = getattr(error, "reply_text", None) or " ".join(str(part) for part in error.args if part)
    return f"{type(error).__name__}: {told}" if told else type(error).__name__
