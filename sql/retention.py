"""What grows has an end: rows that nobody needs any longer are deleted, a bounded slice at a time."""

from collections.abc import Callable

from sql.duty import DutySession
from sql.queries import load

_Q = load("retention")


class Retention:
    """Forgets rows of one kind. Raises TransientError while the database is away."""

    def __init__(self, database_url: str, kind: str, statement_timeout_s: float) -> None:
        self._session = DutySession(database_url, f"forget_{kind}", statement_timeout_s)
        self._query = _Q[f"forget_{kind}"]

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def forget(self, days: int, limit: int, also: Callable[[str], object] | None = None) -> int:
        """Delete at most `limit` rows older than `days`; returns how many.

        `also` is called with the name of each row before the transaction ends, where there is more than the row.
        """
        with self._session.slice_alone() as connection:
            if connection is None:
                return 0
            cursor = connection.execute(self._query, {"days": days, "limit": limit})
            if also is not None:
                for (name,) in cursor:
                    also(name)
            return cursor.rowcount
