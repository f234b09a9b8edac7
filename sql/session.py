"""One database connection for one thread: opened on first use, dropped when broken, its trouble typed."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from sql.connections import CLIENT_GRACE_S, LimitedConnection, is_spoiled, session, translated

_BY_INDEX = "-c enable_seqscan=off"
"""Every statement goes by an index. The planner may think otherwise: it saw the outbox and its like when they were
empty, and would read through all the dead rows of a busy hour."""
PLANNED_ONCE = f"{_BY_INDEX} -c plan_cache_mode=force_generic_plan"
"""And its plan is made once a connection, for it is the same for any batch (ADR 0032, 0036)."""
_TO_LOCK = 10


def to_lock_s(statement_timeout_s: float) -> float:
    """Such a part of a statement's time is left to waiting for who holds a row."""
    return statement_timeout_s / _TO_LOCK


class Session:
    """Every statement has a timeout, on the server and, should the server not keep it, on the client.

    `lock_timeout_s`: it waits no longer than that for a row that somebody else holds; 0: as long as for anything.
    `planned_once`: statements find their rows one by one, so that one plan is as good for a batch as for a lone job,
    for which to plan takes longer than to execute. `missed_after_s`: the server notices so soon that the process has
    died while a statement of it goes on; 0: at its end.
    """

    def __init__(
        self,
        database_url: str,
        name: str,
        statement_timeout_s: float,
        lock_timeout_s: float = 0,
        planned_once: bool = False,
        missed_after_s: float = 0,
    ) -> None:
        self._url = database_url
        self._name = name
        self._limit_s = statement_timeout_s + CLIENT_GRACE_S
        self._options = (
            f"-c statement_timeout={int(statement_timeout_s * 1000)} {PLANNED_ONCE if planned_once else _BY_INDEX}"
            f" -c idle_in_transaction_session_timeout=60000 -c lock_timeout={int(lock_timeout_s * 1000)}"
        )
        if missed_after_s:
            self._options += f" -c client_connection_check_interval={int(missed_after_s * 1000)}"
        self._prepare_threshold = 0 if planned_once else 5
        self._connection: LimitedConnection | None = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def use(self) -> Iterator[LimitedConnection]:
        """The connection. Raises what `translated` makes of a database error, or the error itself."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            yield self._connection
        except psycopg.Error as error:
            if self._connection is not None and (self._connection.closed or is_spoiled(error)):
                self.close()
            meant = translated(error)
            if meant is None:
                raise
            raise meant from error

    @contextmanager
    def transaction(self) -> Iterator[psycopg.Connection]:
        """The connection, in a transaction of its own."""
        with self.use() as connection, connection.transaction():
            yield connection

    @contextmanager
    def pipelined(self) -> Iterator[psycopg.Connection]:
        """The connection, in a transaction of its own, whose statements are waited for only by who reads their rows.

        BEGIN travels with the first of them, COMMIT with the last; psycopg's own transaction waits for each.
        """
        with self.use() as connection:
            try:
                with connection.pipeline():
                    connection.execute("BEGIN")
                    yield connection
                    connection.execute("COMMIT")
            except BaseException:
                if not connection.closed:
                    connection.undo()
                raise

    def _connect(self) -> LimitedConnection:
        connection = LimitedConnection.connect(
            self._url,
            autocommit=True,
            prepare_threshold=self._prepare_threshold,
            application_name=self._name,
            **session(self._url, self._options),
        )
        connection.limit_s = self._limit_s
        return connection
