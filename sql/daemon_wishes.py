"""What operators want of the daemon's duties: to run one now, to pause one, to have it go on."""

from dataclasses import dataclass
from datetime import datetime

from panda_fsm.errors import DutyError
from sql.queries import load
from sql.session import Session

_Q = load("daemon")
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class Wish:
    """A run that somebody asked for."""

    name: str
    asked_at: datetime
    is_alone: bool
    is_paused: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """A run that answers it."""

    host: str
    pid: int
    began_at: datetime
    ended_at: datetime
    seconds: float
    slices: int
    outcome: str
    error: str | None


class DaemonWishes:
    """Each is written down with its audit. Raises TransientError while the database is away, DutyError for what cannot
    be had."""

    def __init__(self, database_url: str) -> None:
        self._session = Session(database_url, "daemon.wishes", _TIMEOUT_S)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def ask(self, name: str, actor: str) -> Wish:
        """Every daemon runs it as soon as a worker is free; of one that must be alone, one does."""
        with self._session.transaction() as connection:
            found = connection.execute(_Q["ask"], {"name": name, "actor": actor}).fetchone()
        if found is None:
            raise DutyError(self._unknown(name))
        return Wish(name, *found[:3])

    def answers(self, wish: Wish) -> list[Answer]:
        """The runs that answer it so far."""
        with self._session.use() as connection:
            found = connection.execute(_Q["answers"], {"name": wish.name, "asked_at": wish.asked_at}).fetchall()
        return [Answer(*row) for row in found]

    def daemons(self) -> int:
        """Machines on which a daemon lives."""
        with self._session.use() as connection:
            return int((connection.execute(_Q["daemons"]).fetchone() or (0,))[0])

    def pause(self, name: str, actor: str, reason: str) -> None:
        """No daemon begins it any more; a slice in hand is finished."""
        with self._session.transaction() as connection:
            wish = {"name": name, "actor": actor, "reason": reason}
            if connection.execute(_Q["pause"], wish).fetchone() is not None:
                return
        if name in self._known():
            raise DutyError(f"{name} cannot be paused: without it no deadline is kept, and silent pilots are not found")
        raise DutyError(self._unknown(name))

    def resume(self, name: str, actor: str) -> None:
        """It goes on, at once where it is due."""
        with self._session.transaction() as connection:
            if connection.execute(_Q["resume"], {"name": name, "actor": actor}).fetchone() is not None:
                return
        raise DutyError(f"{name} is not paused" if name in self._known() else self._unknown(name))

    def _known(self) -> list[str]:
        with self._session.use() as connection:
            return [name for name, _ in connection.execute(_Q["known"])]

    def _unknown(self, name: str) -> str:
        known = ", ".join(self._known())
        return f"there is no duty {name!r}: it is one of {known or 'none, for no daemon has ever run here'}"
