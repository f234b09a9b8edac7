"""Requests that were accepted and never handled: in the end they are given up, and that is written down."""

from sql.duty import DutySession
from sql.queries import load

_Q = load("kept_requests")


class KeptRequests:
    """The request table. Raises TransientError while the database is away."""

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = DutySession(database_url, "requests", statement_timeout_s)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def expire(self, days: int, limit: int) -> int:
        """Give up requests older than `days`; each leaves an audit row with all that it asked. Returns how many."""
        with self._session.slice_alone() as connection:
            if connection is None:
                return 0
            return connection.execute(_Q["expire"], {"days": days, "limit": limit}).rowcount
