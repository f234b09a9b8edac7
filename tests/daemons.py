"""Daemons of a test as real processes, and what the runs of their duties left in the database."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from tests.daemon_play import TABLE
from tests.driver import Database

_OVERLAPS = """SELECT DISTINCT a.name FROM played a JOIN played b ON a.name = b.name AND a.run_id <> b.run_id
    AND b.began_at >= a.began_at AND b.began_at < a.ended_at
    WHERE a.host = b.host OR a.name = ANY(%s)"""
_AT_ONCE = """SELECT coalesce(max(others), 0) FROM (SELECT count(*) AS others FROM played a JOIN played b
    ON b.began_at <= a.began_at AND b.ended_at > a.began_at GROUP BY a.run_id) AS found"""


def duty(name: str, does: str, every: float | str = 0.1, **more: Any) -> dict[str, Any]:
    """A row of the play."""
    return {"name": name, "does": does, "every": every, **more}


class Daemons:
    """Those that the test has started; each is a master with its workers."""

    def __init__(self, url: str, folder: Path, database: Database) -> None:
        self._url = url
        self._folder = folder
        self._database = database
        self.masters: list[subprocess.Popen[bytes]] = []
        folder.mkdir(parents=True, exist_ok=True)
        database.execute(TABLE)

    def start(self, host: str, processes: int, *duties: dict[str, Any]) -> subprocess.Popen[bytes]:
        """A daemon of the machine `host`."""
        command = [sys.executable, "-m", "tests.daemon_play", host, str(processes), self._url, json.dumps(duties)]
        with (self._folder / "log").open("ab") as log:
            self.masters.append(subprocess.Popen(command, stderr=log, start_new_session=True))
        return self.masters[-1]

    def log(self) -> str:
        """What all of them wrote."""
        return (self._folder / "log").read_text()

    def close(self) -> None:
        """End all: workers end with their master."""
        for master in self.masters:
            with contextlib.suppress(ProcessLookupError):
                master.kill()
            master.wait()

    def runs(self, name: str) -> int:
        """Runs of a duty that have ended."""
        return int(
            self._database.value("SELECT count(*) FROM played WHERE name = %s AND ended_at > '-infinity'", (name,))
        )

    def have_run(self, least: Mapping[str, int]) -> bool:
        """Whether each of these duties has so many runs."""
        return all(self.runs(name) >= runs for name, runs in least.items())

    def begun(self, name: str) -> int:
        """Runs of a duty that have begun."""
        return int(self._database.value("SELECT count(*) FROM played WHERE name = %s", (name,)))

    def overlaps(self, *alone: str) -> list[str]:
        """Duties of which two runs were at once: on a machine, or of those that must be alone anywhere."""
        return [name for (name,) in self._database.rows(_OVERLAPS, (list(alone),))]

    def most_at_once(self) -> int:
        """Runs that ended, of whatever duty."""
        return int(self._database.value(_AT_ONCE))

    def workers(self) -> list[int]:
        """The processes that did something, the last first."""
        query = "SELECT pid FROM played GROUP BY pid ORDER BY max(run_id) DESC"
        return [pid for (pid,) in self._database.rows(query)]

    def outcomes(self, name: str) -> list[tuple[str, str]]:
        """What was written down of runs that are worth a row."""
        return self._database.rows(
            "SELECT outcome, coalesce(error, '') FROM daemon_run WHERE name = %s ORDER BY run_id", (name,)
        )


def kill(pids: Sequence[int]) -> None:
    """At once, wherever they are."""
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
