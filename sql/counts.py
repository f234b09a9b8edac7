"""The rollup counts of jobs: changes are appended by whoever makes steps, and folded here."""

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("counts")


class Counts:
    """The job_count table. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "counts")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def fold(self, limit: int, tolerated: int) -> bool:
        """Add up at most `limit` rows where more than `tolerated` lie; True when that made them many fewer."""
        with self._session.slice() as connection:
            gone, left = connection.execute(_Q["fold"], {"limit": limit, "tolerated": tolerated}).fetchone() or (0, 0)
            return bool(gone == limit and left < gone // 2)
