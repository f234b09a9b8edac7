"""What an operator wants to know of a running system, in a few quick looks at the database."""

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from psycopg.rows import class_row

from panda_fsm.pausing import Pause
from sql.partitions import in_default
from sql.queries import load
from sql.session import Session

_Q = load("health")
_PAUSES = load("views_queues")["pauses"]
_TIMEOUT_S = 10.0


@dataclass(frozen=True, slots=True)
class ProcessRow:
    """A process as it shows itself; ages in seconds."""

    service: str
    host: str
    pid: int
    up_s: float
    silent_s: float
    trouble: str | None
    trouble_s: float | None


@dataclass(frozen=True, slots=True)
class Health:
    """The processes, and what waits, grew or got stuck."""

    processes: list[ProcessRow] = field(default_factory=list)
    outbox: int = 0
    oldest_outbox_s: float = 0.0
    put_off: int = 0
    requests: int = 0
    oldest_request_s: float = 0.0
    dead_letters: int = 0
    quarantined: int = 0
    quarantined_for: str | None = None
    in_default_partitions: dict[str, int] = field(default_factory=dict)
    pauses: list[Pause] = field(default_factory=list)
    oldest_transaction_s: float = 0.0
    oldest_transaction: str = ""


def health(database_url: str) -> Health:
    """Look once. Raises TransientError when the database is away, SystemicError when it is not migrated."""
    session = Session(database_url, "health", _TIMEOUT_S)
    try:
        with session.use() as connection:
            processes = connection.cursor(row_factory=class_row(ProcessRow)).execute(_Q["processes"]).fetchall()
            values: dict[str, Any] = {}
            for query in ("outbox", "requests", "dead_letters", "quarantined", "oldest_transaction"):
                cursor = connection.execute(_Q[query])
                names = [column.name for column in cursor.description or ()]
                values |= dict(zip(names, cursor.fetchone() or (), strict=False))
            pauses = [Pause(*row) for row in connection.execute(_PAUSES)]
            return Health(processes=processes, pauses=pauses, in_default_partitions=in_default(connection), **values)
    finally:
        session.close()


def now(database_url: str) -> datetime:
    """The database's time. Raises TransientError when it is away."""
    session = Session(database_url, "clock", _TIMEOUT_S)
    try:
        with session.use() as connection:
            found: tuple[datetime] | None = connection.execute(_Q["now"]).fetchone()
            return found[0] if found else datetime.now(UTC)
    finally:
        session.close()
