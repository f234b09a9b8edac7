"""What an operator wants to know of a running system, in a few quick looks at the database."""

from datetime import UTC, datetime
from typing import Any

from panda_fsm.pausing import Pause
from panda_fsm.views.health import Health
from panda_fsm.views.redaction import shown
from panda_fsm.views.signs import ProcessRow
from sql.partitions import IN_DEFAULT, MOST_COUNTED
from sql.pool import Pool
from sql.queries import load
from sql.session import Session

_Q = load("health")
_PAUSES = load("views_queues")["pauses"]
_TIMEOUT_S = 10.0
_MOST = {"most": MOST_COUNTED}
_LOOKS = (_Q["processes"], _Q["figures"], IN_DEFAULT, _Q["oldest_transaction"], _PAUSES)
Rows = list[tuple[Any, ...]]


def health(database_url: str) -> Health:
    """Look once. Raises TransientError when the database is away, SystemicError when it is not migrated."""
    session = Session(database_url, "health", _TIMEOUT_S)
    try:
        with session.use() as connection:
            return _health(*(connection.execute(look, _MOST).fetchall() for look in _LOOKS))
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


class HealthReads:
    """The same, looked at again and again. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> Health:
        """Look once."""
        async with self._pool.connection() as connection:
            return _health(*[await (await connection.execute(look, _MOST)).fetchall() for look in _LOOKS])


def _health(processes: Rows, figures: Rows, in_default: Rows, transactions: Rows, pauses: Rows) -> Health:
    """Of the answers to the looks: what troubles somebody may name a secret."""
    ((outbox, oldest_outbox_s, put_off, requests, oldest_request_s, letters, quarantined, quarantined_for),) = figures
    ((oldest_transaction_s, oldest_transaction),) = transactions
    return Health(
        [ProcessRow(*map(shown, row)) for row in processes], outbox, oldest_outbox_s, put_off, requests,
        oldest_request_s, letters, quarantined, shown(quarantined_for),
        {parent: rows for parent, rows in in_default if rows}, oldest_transaction_s, shown(oldest_transaction),
        [Pause(*row) for row in pauses],
    )  # fmt: skip
