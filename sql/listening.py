"""Waits for what others notify on a channel, and for a word of its own process at the same time."""

import contextlib
import select

import psycopg


class Listening:
    """A thread's ear on its connection. Who waits looks again before: what was told before that is read by then."""

    def __init__(self, channel: str) -> None:
        self._channel = channel
        self._connection: psycopg.Connection | None = None
        self._is_told = False

    def on(self, connection: psycopg.Connection) -> None:
        """Listen there, before a look at what may be told of; a connection that was lost is followed by another one."""
        self._is_told = False
        if connection is not self._connection:
            connection.add_notify_handler(self._tell)
            connection.execute(f"LISTEN {self._channel}")
            self._connection = connection

    def wait(self, wake: int, seconds: float) -> None:
        """Until the file `wake` can be read, somebody notifies (or has since the last look), or the time is over."""
        if self._is_told:
            self._is_told = False
            return
        poll = select.poll()
        poll.register(wake, select.POLLIN)
        connection = self._connection
        if connection is None or connection.closed:
            poll.poll(seconds * 1000)
            return
        poll.register(connection.fileno(), select.POLLIN)
        if any(file != wake for file, _ in poll.poll(seconds * 1000)):
            # What is wrong with the connection is met where it is used next.
            with contextlib.suppress(psycopg.Error):
                connection.pgconn.consume_input()
                while connection.pgconn.notifies():
                    pass

    def _tell(self, _notify: psycopg.Notify) -> None:
        self._is_told = True
