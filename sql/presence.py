"""The row of a process in the table of those that run: who looks sees that it lives and what keeps it from working."""

import os
import socket
from datetime import UTC, datetime, timedelta
from pathlib import Path

import psycopg

from sql.queries import load
from sql.session import Session

_Q = load("presence")
_TIMEOUT_S = 5.0
_NEW_FOR = timedelta(seconds=30)
"""So long we look for those whom we replace: the last sign of a killed one may come after our first."""


class Presence:
    """Writes and deletes the row of this process. Raises TransientError while the database is away or too old."""

    def __init__(self, database_url: str, service: str) -> None:
        self._session = Session(database_url, f"{service}.presence", _TIMEOUT_S)
        self._place = {"service": service, "host": socket.gethostname(), "pid": os.getpid()}
        self._started_at = datetime.now(UTC)

    def show(self, trouble: str | None) -> None:
        """The process lives; `trouble` is what keeps it from working. Rows of the long gone are removed."""
        with self._session.use() as connection:
            connection.execute(_Q["show"], self._place | {"started_at": self._started_at, "trouble": trouble})
            connection.execute(_Q["forget_gone"])
            if datetime.now(UTC) - self._started_at < _NEW_FOR:
                self._take_the_place_of_the_dead(connection)

    def _take_the_place_of_the_dead(self, connection: psycopg.Connection) -> None:
        """Who was killed on this machine is replaced by us: nobody need miss it for an hour."""
        others = [pid for (pid,) in connection.execute(_Q["others_here"], self._place)]
        dead = [pid for pid in others if not _lives(pid)]
        connection.execute(_Q["forget"], self._place | {"pids": dead})

    def end(self) -> None:
        """The process ends as it should: nobody need miss it."""
        with self._session.use() as connection:
            connection.execute(_Q["forget"], self._place | {"pids": [self._place["pid"]]})
        self._session.close()


def _lives(pid: int) -> bool:
    """False also for a zombie, whose parent has not asked yet how it ended: it has no command line any more."""
    try:
        return Path("/proc", str(pid), "cmdline").read_bytes() != b""
    except (FileNotFoundError, ProcessLookupError):
        return False
