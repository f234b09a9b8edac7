"""Connections whose every call ends in time, and the one list of what a database error means."""

from typing import Any, TypeVar

import psycopg
from psycopg.abc import PQGen
from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import TransactionStatus

from panda_fsm.errors import HeldError, PandaError, SystemicError, TooSlowError, TransientError

Answer = TypeVar("Answer")

CLIENT_GRACE_S = 5.0
"""The server cancels a slow statement; should it not be there to do so, the client gives up this much later."""
KEEPALIVES: dict[str, Any] = {
    "connect_timeout": 5,
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 30_000,
}
"""libpq's parameters by which a vanished server is noticed, whichever direction of the network it vanished from."""
_NO_ANSWER = "the database did not answer in time: the connection is dropped"
_SILENT = psycopg.errors._WaitTimeout

_TRANSIENT = ("08", "25", "40", "53", "55", "57", "58")
"""SQLSTATE classes of what passes by itself: connection, transaction state, rollback, resources, locks, operator."""
_SYSTEMIC = ("28", "3D", "3F", "42")
"""SQLSTATE classes of what somebody must mend: authorisation, no such database, schema, table, column, permission."""
_CACHED_PLAN = "cached plan must not change result type"


class LimitedConnection(psycopg.Connection[Any]):
    """A connection that is dropped when a call takes longer than `limit_s` for each statement that it waits for."""

    limit_s: float | None = None

    def wait(self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        under_way = 1 if self._pipeline is None else 1 + len(self._pipeline.result_queue)
        limit_s = None if self.limit_s is None else self.limit_s * under_way
        try:
            return super().wait(gen, interval, limit_s if timeout is None else timeout)
        except _SILENT:
            self.pgconn.finish()
            raise psycopg.OperationalError(_NO_ANSWER) from None

    def undo(self) -> None:
        """Roll back, if there is something to. After what only we were not content with, prepared statements stay:
        psycopg's own rollback forgets them all, for their tables might be gone with the transaction."""
        if self.info.transaction_status is TransactionStatus.INTRANS:
            with self.lock:
                self.wait(self._exec_command(b"ROLLBACK"))
        else:
            self.rollback()


class LimitedAsyncConnection(psycopg.AsyncConnection[Any]):
    """The same for the event loop."""

    limit_s: float | None = None

    async def wait(self, gen: PQGen[Answer], interval: float = 0.1, timeout: float | None = None) -> Answer:
        try:
            return await super().wait(gen, interval, self.limit_s if timeout is None else timeout)
        except _SILENT:
            self.pgconn.finish()
            raise psycopg.OperationalError(_NO_ANSWER) from None


def session(database_url: str, options: str) -> dict[str, Any]:
    """Parameters of a connection that notices a vanished server, with server `options`; those of the address win.

    Of several hosts it takes the one that can be written to, as long as the address says nothing else.
    """
    given = conninfo_to_dict(database_url)
    chosen = KEEPALIVES | {"options": f"{options} {given.get('options', '')}".strip()}
    if "," in str(given.get("host", "")) and "target_session_attrs" not in given:
        chosen["target_session_attrs"] = "read-write"
    return chosen


def translated(error: psycopg.Error) -> PandaError | None:
    """What a database error means; None: it is about the data in hand, or a mistake of ours.

    TransientError: try again. TooSlowError: with less. HeldError: without what needs the row. SystemicError: not before
    somebody has mended the system.
    """
    state = error.sqlstate or ""
    text = f"database: {str(error).strip() or type(error).__name__}"
    if isinstance(error, psycopg.errors.QueryCanceled):
        return TooSlowError(text)
    if isinstance(error, psycopg.errors.LockNotAvailable):
        return HeldError(text)
    if state.startswith(_TRANSIENT) or _CACHED_PLAN in text:
        return TransientError(text)
    if state.startswith(_SYSTEMIC):
        return SystemicError(text)
    if not state and isinstance(error, psycopg.OperationalError | psycopg.InterfaceError):
        return TransientError(text)
    return None


def is_spoiled(error: psycopg.Error) -> bool:
    """Whether the session must not be used again: it is gone, read-only after a failover, or keeps an old plan."""
    return isinstance(error, psycopg.errors.ReadOnlySqlTransaction) or _CACHED_PLAN in str(error)
