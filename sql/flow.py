"""Counts what is new in job_history, and the errors of jobs that ended badly; how far it came is moved with it."""

from typing import Any

import psycopg

from panda_fsm.views.causes import BadEnd, counted
from sql.duty import DutySession, WorkerSession
from sql.queries import load
from sql.rows import as_json

_Q = load("flow")
_COUNT = "\n".join((_Q["step"], _Q["count_steps"]))
_BAD_ENDS = "\n".join((_Q["step"], _Q["bad_ends"]))
"""Both are planned anew each time, which takes a millisecond: by which index the window is read hangs on how large the
month has become, and the months that it does not lie in are left out of the plan."""


class Flow:
    """The rollups of the flow. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "flow")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def count(self, seconds: float) -> tuple[int, bool]:
        """Count the steps of the next `seconds` of history; how many there were, and whether there is more to count."""
        with self._session.slice() as connection:
            since, until, is_new, more, *_ = connection.execute(_Q["window"], {"seconds": seconds}).fetchall()[0]
            if not is_new:
                return 0, False
            window = {"since": since, "until": until}
            steps, bad = connection.execute(_COUNT, window, prepare=False).fetchall()[0]
            if bad:
                _count_errors(connection, window)
            if since.replace(minute=0, second=0, microsecond=0) < until.replace(minute=0, second=0, microsecond=0):
                connection.execute(_Q["roll_up_errors"], {"until": until})
                connection.execute(_Q["roll_up_ends"], {"until": until})
            connection.execute(_Q["move_on"], {"until": until})
            return int(steps), more


def _count_errors(connection: psycopg.Connection, window: dict[str, Any]) -> None:
    ends = [BadEnd(*row) for row in connection.execute(_BAD_ENDS, window, prepare=False)]
    connection.execute(_Q["count_errors"], {"rows": as_json(counted(ends))})
