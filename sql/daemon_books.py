"""The books of the daemon in the database: what was run and what goes on, and what operators want of it."""

import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

from panda_fsm.duty_runs import InHand, Outcome, Page, Run, Standing, Told
from sql.listening import Listening
from sql.living import lives
from sql.queries import load
from sql.rows import as_json
from sql.session import Session

_Q = load("daemon")
_CHANNEL = "panda_daemon"
_TIMEOUT_S = 10.0


class DaemonBooks:
    """A connection of the master's own. Raises TransientError while the database is away."""

    def __init__(self, database_url: str, host: str | None = None) -> None:
        """`host`: the machine whose daemon it is."""
        self._session = Session(database_url, "daemon.books", _TIMEOUT_S)
        self._host = {"host": host or socket.gethostname()}
        self._listening = Listening(_CHANNEL)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def begin(self, duties: Sequence[Told]) -> None:
        """These are the duties. Runs of this machine whose worker is no more are written down as died."""
        rows = [asdict(duty) | {"every": str(duty.every)} for duty in duties]
        with self._session.transaction() as connection:
            connection.execute(_Q["tell"], {"rows": as_json(rows)})
            running = connection.execute(_Q["running_here"], self._host).fetchall()
        now = datetime.now(UTC)
        died = [
            Run(name, pid, since, now, 0.0, 1, Outcome.DIED, "its daemon was killed")
            for name, pid, since in running
            if pid == os.getpid() or not lives(pid)
        ]
        if died:
            self.write(Page(died, died, {}, (), {}))

    def write(self, page: Page) -> None:
        """Write it down; masters do so one after the other, for they write into the same rows."""
        sums = [asdict(one) | {"name": name} for name, one in page.sums.items()]
        in_hand = {"rows": _json(page.in_hand), "next": as_json(dict(page.next_s))}
        with self._session.transaction() as connection:
            connection.execute(_Q["one_at_a_time"])
            if page.runs:
                connection.execute(_Q["runs"], {"rows": _json(page.runs)} | self._host)
            connection.execute(_Q["last"], {"rows": _json(page.last)} | self._host)
            connection.execute(_Q["sums"], {"rows": as_json(sums)})
            connection.execute(_Q["in_hand"], in_hand | self._host)

    def standing(self) -> Standing:
        """What operators want; from now on it is heard of when they want something else."""
        with self._session.use() as connection:
            self._listening.on(connection)
            found = connection.execute(_Q["standing"], self._host).fetchall()
        paused = frozenset(name for name, is_paused, _ in found if is_paused)
        return Standing(paused, {name: asked_at for name, _, asked_at in found if asked_at is not None})

    def wait(self, seconds: float, wake: int) -> None:
        """Until somebody wants something else, `wake` can be read, or for so long."""
        self._listening.wait(wake, seconds)


def _json(rows: Iterable[Run | InHand]) -> str:
    found: list[dict[str, Any]] = [asdict(row) for row in rows]
    return as_json(found)
