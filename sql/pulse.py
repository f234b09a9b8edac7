"""The pulse of those whose absence makes pilots look silent: the daemon, and the gateways that listen."""

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("pulse")
_DAEMON = "clock"
"""Its row: in the release before it was called so, and both may run at once during an update."""


class Pulse:
    """The daemon's own row. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "pulse")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def tick(self, grace_s: float) -> None:
        """The daemon is at work; after a gap nobody is lost for `grace_s`."""
        with self._session.slice() as connection:
            connection.execute(_Q["tick"], {"name": _DAEMON, "grace_s": grace_s})

    def silent(self) -> list[tuple[str, float]]:
        """Who has not ticked for too long, and for how many seconds."""
        with self._session.slice() as connection:
            return connection.execute(_Q["silent"]).fetchall()
