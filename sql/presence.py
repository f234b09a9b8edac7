"""The row of a process in the table of those that run: who looks sees that it lives and what keeps it from working."""

import os
import socket
from datetime import UTC, datetime

from sql.queries import load
from sql.session import Session

_Q = load("presence")
_TIMEOUT_S = 5.0


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

    def end(self) -> None:
        """The process ends as it should: nobody need miss it."""
        with self._session.use() as connection:
            connection.execute(_Q["end"], self._place)
        self._session.close()
