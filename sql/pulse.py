"""The pulse of those whose absence makes pilots look silent: the clock, and the gateways that listen."""

from sql.duty import DutySession
from sql.queries import load

_Q = load("pulse")


class Pulse:
    """The clock's own row. Raises TransientError while the database is away."""

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = DutySession(database_url, "pulse", statement_timeout_s)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def tick(self, name: str, grace_s: float) -> None:
        """`name` is at work; after a gap nobody is lost for `grace_s`."""
        with self._session.slice() as connection:
            connection.execute(_Q["tick"], {"name": name, "grace_s": grace_s})

    def silent(self) -> list[tuple[str, float]]:
        """Who has not ticked for too long, and for how many seconds."""
        with self._session.slice() as connection:
            return connection.execute(_Q["silent"]).fetchall()
