"""What grows has an end: rows that nobody needs any longer are deleted, a bounded slice at a time."""

from collections.abc import Callable, Sequence

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("retention")


class Retention:
    """Forgets rows of one kind. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession, kind: str) -> None:
        self._session = DutySession(worker, f"forget_{kind}")
        self._query = _Q[f"forget_{kind}"]

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def forget(self, days: int, limit: int) -> int:
        """Delete at most `limit` rows older than `days`; returns how many."""
        with self._session.slice() as connection:
            return connection.execute(self._query, {"days": days, "limit": limit}).rowcount


class Sandboxes:
    """Forgets uploaded sandboxes. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "forget_sandboxes")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def forget(self, days: int, limit: int, after: str, remove: Callable[[Sequence[str]], list[str]]) -> list[str]:
        """Look at the next `limit` names beyond `after` that are older than `days`, and return them.

        Nobody renews them meanwhile; those whose files `remove` says are gone are forgotten.
        """
        with self._session.slice() as connection:
            asked = {"days": days, "limit": limit, "after": after}
            names = [name for (name,) in connection.execute(_Q["old_sandboxes"], asked)]
            connection.execute(_Q["forget_sandboxes"], {"names": remove(names)})
            return names
