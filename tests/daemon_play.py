"""A daemon whose duties play, as a process of its own: `python -m tests.daemon_play HOST PROCESSES URL DUTIES`.

Each run of a duty is a row of the table `played`: when it began, and when it ended if it did. What a duty does between
is named in DUTIES, a JSON list of rows.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any

from command import log, parent
from panda_fsm.trouble import Condition
from periodic.daemon import Daemon
from periodic.schedule import Duty, Memory
from periodic.worker import Notes, Worker
from sql.daemon_books import DaemonBooks
from sql.duty import DutySession, WorkerSession

TABLE = """CREATE TABLE played (run_id bigint GENERATED ALWAYS AS IDENTITY, name text, host text, pid int,
    slice int, began_at timestamptz DEFAULT clock_timestamp(), ended_at timestamptz)"""
_BEGIN = "INSERT INTO played (name, host, pid, slice) VALUES (%s, %s, %s, %s) RETURNING run_id"
_END = "UPDATE played SET ended_at = clock_timestamp() WHERE run_id = %s"


class Played:
    """A duty that writes down its runs."""

    def __init__(self, worker: WorkerSession, host: str, does: str, name: str) -> None:
        self._session = DutySession(worker, name)
        self._place = name, host, os.getpid()
        self._does, _, self._how = does.partition(":")
        self.memory = Memory(0)

    def run(self) -> bool:
        """One slice. `endless`: more is always due; `three`: three slices a run; `blocked`: in the database."""
        self.memory.now += 1
        with self._session.slice() as connection:
            (run_id,) = connection.execute(_BEGIN, (*self._place, self.memory.now)).fetchone() or (0,)
        if self._does == "blocked":
            with self._session.slice() as connection:
                connection.execute("SELECT pg_advisory_xact_lock(1)")
        elif self._does == "fails":
            raise ValueError("it was to fail")
        elif self._does == "dies":
            os.kill(os.getpid(), signal.SIGKILL)
        elif self._how:
            time.sleep(float(self._how))
        with self._session.slice() as connection:
            connection.execute(_END, (run_id,))
        return self._does == "endless" or (self._does == "three" and self.memory.now % 3 != 0)


def duties(worker: WorkerSession, host: str, rows: Sequence[dict[str, Any]]) -> list[Duty]:
    """The rows of a test as duties."""
    found = []
    for row in rows:
        played = Played(worker, host, row["does"], row["name"])
        found.append(
            Duty(
                row["name"],
                row["every"],
                "Plays.",
                played.run,
                alone=row.get("alone", False),
                limit_s=row.get("limit_s", 30),
                memory=played.memory,
                is_vital=row.get("is_vital", False),
            )
        )
    return found


def _master(host: str, processes: int, url: str, rows: str) -> None:
    def start(talk: int) -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "tests.daemon_play",
            host,
            str(processes),
            url,
            rows,
            str(talk),
            str(os.getpid()),
        ]
        return subprocess.Popen(command, pass_fds=[talk], start_new_session=True)

    condition = Condition(lambda part, trouble: print(f"{part}: {trouble}", file=sys.stderr, flush=True))
    daemon = Daemon(
        duties(WorkerSession(url, 30, host), host, json.loads(rows)),
        start,
        processes,
        DaemonBooks(url, host),
        condition,
    )

    def end(_number: int, _frame: FrameType | None) -> None:
        daemon.end()

    signal.signal(signal.SIGTERM, end)
    daemon.run()


def _worker(host: str, url: str, rows: str, talk: int, master: int) -> None:
    parent.bind(master, signal.SIGKILL)
    session, notes = WorkerSession(url, 30, host), Notes()
    Worker(duties(session, host, json.loads(rows)), session, notes, Connection(talk)).run()


def main(arguments: Sequence[str]) -> None:
    """The master; with two numbers more it is a worker of one."""
    log.configure("play")
    host, processes, url, rows, *bond = arguments
    if bond:
        _worker(host, url, rows, *map(int, bond))
    else:
        _master(host, int(processes), url, rows)


if __name__ == "__main__":
    main(sys.argv[1:])
