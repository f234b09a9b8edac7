"""One database connection for one thread: opened on first use, dropped when broken, its trouble typed."""

from collections.abc import Iterator
from contextlib import contextmanager

import psycopg

from panda_fsm.errors import TooSlowError, TransientError

_TRANSIENT = (
    psycopg.OperationalError,  # connection gone, server shutting down
    psycopg.errors.SerializationFailure,
    psycopg.errors.DeadlockDetected,
    psycopg.errors.ReadOnlySqlTransaction,  # a failover is under way
    psycopg.InterfaceError,
)


class Session:
    """Every statement has a timeout, on the server and, should its host vanish, on the wire."""

    def __init__(self, database_url: str, name: str, statement_timeout_s: float) -> None:
        self._url = database_url
        self._name = name
        # Every statement goes by an index. The planner may think otherwise: it saw the outbox and its like when they
        # were empty, and would read through all the dead rows of a busy hour.
        self._options = (
            f"-c statement_timeout={int(statement_timeout_s * 1000)} -c enable_seqscan=off"
            " -c idle_in_transaction_session_timeout=60000"
        )
        self._connection: psycopg.Connection | None = None

    def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    @contextmanager
    def use(self) -> Iterator[psycopg.Connection]:
        """The connection. Raises TooSlowError or TransientError for what may pass by itself."""
        try:
            if self._connection is None or self._connection.closed:
                self._connection = self._connect()
            yield self._connection
        except psycopg.errors.QueryCanceled as error:
            raise TooSlowError(f"database: {error}") from error
        except _TRANSIENT as error:
            if self._connection is not None and (self._connection.broken or self._connection.closed):
                self._connection = None
            raise TransientError(f"database: {error}") from error

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            self._url,
            autocommit=True,
            options=self._options,
            connect_timeout=5,
            tcp_user_timeout=30_000,
            application_name=self._name,
        )
