"""The oldest open transaction: as long as it lasts, no dead row is removed and queue tables grow slow."""

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("health")


class Snapshots:
    """The sessions of this database. Raises TransientError while it is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "snapshots")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def oldest(self) -> tuple[float, str]:
        """Its age in seconds, and whose it is."""
        with self._session.slice() as connection:
            age_s, who = connection.execute(_Q["oldest_transaction"]).fetchone() or (0.0, "")
            return float(age_s), str(who)
