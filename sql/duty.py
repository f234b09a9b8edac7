"""The transactions of a duty of the clock: short, alone where need be, and one bad row does not stop the others."""

from collections.abc import Callable, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager

import psycopg

from panda_fsm.errors import TransientError
from panda_fsm.messages import cut
from sql.connections import translated
from sql.queries import load
from sql.session import Session

_Q = load("duty")


class DutySession:
    """One connection for one duty's thread."""

    def __init__(self, database_url: str, name: str, statement_timeout_s: float) -> None:
        self._session = Session(database_url, f"clock.{name}", statement_timeout_s)
        self._name = name

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    @contextmanager
    def slice(self) -> Iterator[psycopg.Connection]:
        """A transaction for a duty that any number of clocks may do at once."""
        with self._session.transaction() as connection:
            yield connection

    @contextmanager
    def slice_alone(self) -> Iterator[psycopg.Connection | None]:
        """The same for a duty that one clock does at a time; None while another one does."""
        with self._session.transaction() as connection:
            row = connection.execute(_Q["be_alone"], {"name": self._name}).fetchone()
            yield connection if row and row[0] else None


def bisect(
    connection: psycopg.Connection, job_ids: Sequence[int], work: Callable[[Sequence[int]], None]
) -> dict[int, str]:
    """Do `work` for all of them at once, in halves where that fails; returns why it fails for those that fail alone.

    What passes by itself, or must be mended first, is nobody's fault: it is raised.
    """
    if not job_ids:
        return {}
    try:
        with connection.transaction():
            work(job_ids)
    except Exception as error:
        if isinstance(error, TransientError) or (isinstance(error, psycopg.Error) and translated(error) is not None):
            raise
        if len(job_ids) == 1:
            return {job_ids[0]: cut(f"{type(error).__name__}: {error}")}
        middle = len(job_ids) // 2
        return bisect(connection, job_ids[:middle], work) | bisect(connection, job_ids[middle:], work)
    return {}


def put_off_missing(connection: psycopg.Connection, due: Iterable[int], found: Container[int]) -> None:
    """Jobs that are due and were not found: somebody holds them for the moment, or they are no more."""
    missing = {"job_ids": [job_id for job_id in due if job_id not in found]}
    if missing["job_ids"]:
        connection.execute(_Q["drop_vanished"], missing)
        connection.execute(_Q["look_again"], missing)


def quarantine(connection: psycopg.Connection, trouble: dict[int, str]) -> None:
    """The appointments of these jobs cannot be kept: they say why, and are tried again in an hour."""
    if trouble:
        connection.execute(_Q["quarantine"], {"job_ids": list(trouble), "reasons": list(trouble.values())})
