"""The daemon's books in the database: what a daemon that was killed left open is closed by the next one."""

from __future__ import annotations

import os
import subprocess
from contextlib import closing
from datetime import UTC, datetime

from panda_fsm.duty_runs import InHand, Outcome, Page, Told
from sql.daemon_books import DaemonBooks
from tests.driver import Database

HELD = Told("held", "Holds.", 60.0, True, False, 300.0)


def test_a_run_of_a_killed_worker_is_closed_though_nobody_has_asked_for_its_end(
    database_url: str, database: Database
) -> None:
    """A zombie has a number like the living; who lives goes on."""
    with closing(DaemonBooks(database_url)) as books, subprocess.Popen(["true"]) as zombie:
        os.waitid(os.P_PID, zombie.pid, os.WEXITED | os.WNOWAIT)
        for pid, outcomes in ((os.getppid(), []), (zombie.pid, [(zombie.pid, Outcome.DIED)])):
            books.begin([HELD])
            books.write(Page([], [], {}, [InHand("held", pid, datetime.now(UTC))], {"held": 1.0}))
            books.begin([HELD])
            assert database.rows("SELECT pid, outcome FROM daemon_run") == outcomes
