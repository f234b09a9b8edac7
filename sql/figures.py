"""Figures of the whole system out of the database, for who collects metrics."""

from collections.abc import Mapping

from sql.duty import DutySession, WorkerSession
from sql.queries import load

_Q = load("figures")
"""By the name of the metric."""
Values = Mapping[tuple[str, ...], float]


class SystemFigures:
    """Looks when asked. Raises TransientError while the database is away."""

    def __init__(self, worker: WorkerSession) -> None:
        self._session = DutySession(worker, "figures")

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def look(self) -> dict[str, Values]:
        """By metric, a value for each combination of its labels."""
        with self._session.slice() as connection:
            return {
                name: {tuple(map(str, row[:-1])): float(row[-1]) for row in connection.execute(query)}
                for name, query in _Q.items()
            }
