"""The row of a process in the table of those that run: who looks sees that it lives and what keeps it from working."""

import os
import socket
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

import psycopg

from panda_fsm.progress import Done, Snapshot
from panda_fsm.sites import Known
from sql import information
from sql.listening import Listening
from sql.living import lives
from sql.queries import load
from sql.session import Session

_Q = load("presence")
_TIMEOUT_S = 5.0
_NEW_FOR = timedelta(seconds=30)
"""So long we look for those whom we replace: the last sign of a killed one may come after our first."""


class Heard(NamedTuple):
    """What a process hears when it shows itself. `version`: of what is known of queues and sites, if it has one."""

    is_paused: bool
    version: int | None


class Presence:
    """Writes and deletes the row of this process. Raises TransientError while the database is away or too old."""

    def __init__(
        self, database_url: str, service: str, queue: str = "", program: str = "", metrics: str | None = None
    ) -> None:
        """`queue`: the one that it serves, if any. `program`: the version of this one. `metrics`: where
        it shows what it counts."""
        self._session = Session(database_url, f"{service}.presence", _TIMEOUT_S)
        self._place = {"service": service, "host": socket.gethostname(), "pid": os.getpid()}
        self._started_at = datetime.now(UTC)
        self._queue = queue
        self._known = {
            "started_at": self._started_at, "queue": queue or None, "program": program, "metrics": metrics
        }  # fmt: skip
        self._added = Done()
        self._listening = Listening(information.CHANNEL)

    def show(self, trouble: str | None, work: Snapshot) -> Heard:
        """The process lives; `trouble` is what keeps it from working, `work` what it does. Rows of the long gone are
        removed."""
        stands = asdict(work) | asdict(work.done) | {"trouble": trouble}
        del stands["done"]
        with self._session.use() as connection:
            self._listening.on(connection)
            found = connection.execute(_Q["show"], self._place | self._known | stands).fetchone()
            self._add(connection, work.done)
            connection.execute(_Q["forget_gone"])
            if datetime.now(UTC) - self._started_at < _NEW_FOR:
                self._take_the_place_of_the_dead(connection)
        return Heard(*found) if found else Heard(False, None)

    def follow(self, known: Known, version: int, for_pilots: bool) -> None:
        """Know what is known at this version."""
        with self._session.use() as connection:
            information.follow(connection, known, version, for_pilots)

    def wait(self, wake: int, seconds: float) -> None:
        """Until the file `wake` can be read, somebody says that information has changed, or the time is over."""
        self._listening.wait(wake, seconds)

    def _add(self, connection: psycopg.Connection, done: Done) -> None:
        """What was done since the last time counts for the queue, whatever becomes of this process."""
        if not self._queue or done == self._added:
            return
        since = {name: value - getattr(self._added, name) for name, value in asdict(done).items()}
        connection.execute(_Q["add_work"], since | {"queue": self._queue})
        self._added = done

    def _take_the_place_of_the_dead(self, connection: psycopg.Connection) -> None:
        """Who was killed on this machine is replaced by us: nobody need miss it for an hour."""
        others = [pid for (pid,) in connection.execute(_Q["others_here"], self._place)]
        dead = [pid for pid in others if not lives(pid)]
        connection.execute(_Q["forget"], self._place | {"pids": dead})

    def end(self, work: Snapshot) -> None:
        """The process ends as it should: nobody need miss it."""
        with self._session.use() as connection:
            self._add(connection, work.done)
            connection.execute(_Q["forget"], self._place | {"pids": [self._place["pid"]]})
        self._session.close()


def metrics_addresses(database_url: str) -> list[tuple[str, str, str]]:
    """Service, host and address of each live process that shows its metrics. Raises TransientError."""
    session = Session(database_url, "metrics", _TIMEOUT_S)
    try:
        with session.use() as connection:
            return list(connection.execute(_Q["metrics_addresses"]))
    finally:
        session.close()
