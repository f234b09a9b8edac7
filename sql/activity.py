"""What happens at each queue, for JEDI: requests that gateways counted, jobs that were heard of, jobs by state."""

from collections.abc import Sequence

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("jedi_statuses")


class Activity:
    """Tells the JEDI of each of these VOs. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession, vos: Sequence[str]) -> None:
        self._session = DutySession(worker, "activity")
        self._vos = list(vos)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def tell(self) -> None:
        """Write down what there was in the last minute, and what there is now."""
        with self._session.slice() as connection:
            connection.execute(_Q["tell_activity"], {"vos": self._vos})
