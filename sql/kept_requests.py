"""Requests that were accepted and never handled: in the end they are given up, and that is written down."""

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("kept_requests")


class KeptRequests:
    """The request table. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "requests")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def expire(self, days: int, limit: int) -> int:
        """Give up requests older than `days`; each leaves an audit row with all that it asked. Returns how many."""
        with self._session.slice() as connection:
            return connection.execute(_Q["expire"], {"days": days, "limit": limit}).rowcount
