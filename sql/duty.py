"""A duty's run under its lock, and its transactions: short, and one bad row does not stop the others."""

import socket
from collections.abc import Callable, Collection, Container, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field

import psycopg

from panda_fsm.errors import HeldError, TransientError, told
from panda_fsm.messages import cut
from sql.connections import translated
from sql.queries import load
from sql.session import Session, to_lock_s

_Q = load("duty")
_MOST_TO_LOCK_S = 1.0
"""A row that somebody holds is waited for no longer: it is done later."""
_LOOK_AGAIN_S = 1.0
_MISSED_S = 2.0
_HELD_S = 10.0
"""A job of which a row was waited for in vain is looked at again later than one that was passed over."""


class WorkerSession:
    """The one connection of a worker, which all its duties share: it does them one after the other.

    The server looks every few seconds whether the worker lives: what a killed one was at does not go on without it.
    """

    def __init__(self, database_url: str, statement_timeout_s: float, host: str | None = None) -> None:
        """`host`: the machine whose duties they are."""
        lock_timeout_s = min(_MOST_TO_LOCK_S, to_lock_s(statement_timeout_s))
        self._session = Session(database_url, "daemon", statement_timeout_s, lock_timeout_s, missed_after_s=_MISSED_S)
        self._known_as: tuple[psycopg.Connection, str] | None = None
        self._locked: psycopg.Connection | None = None
        self._host = host or socket.gethostname()

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    @contextmanager
    def run(self, name: str, alone: bool) -> Iterator[bool]:
        """A run of the duty `name`, under a lock that it holds as long as it goes on, and no longer: it is the
        connection's. False: somebody else has the lock, on this machine or (`alone`) anywhere."""
        key = name if alone else f"{name}@{self._host}"
        with self._session.use() as connection:
            known = {"name": f"daemon.{name}", "key": key}
            row = connection.execute(_Q["begin"], known).fetchone()
            self._known_as = connection, name
        if row is None or not row[1]:
            yield False
            return
        self._locked = connection
        try:
            yield True
        finally:
            self._locked = None
            self._unlock(connection, key)

    def _unlock(self, connection: psycopg.Connection, key: str) -> None:
        """Or end the connection, and the lock with it."""
        try:
            if not connection.closed:
                connection.execute(_Q["end"], {"key": key})
        except psycopg.Error:
            self.close()

    @contextmanager
    def slice(self, name: str) -> Iterator[psycopg.Connection]:
        """A transaction of the duty `name`; who looks at the database's sessions sees whose it is.

        Raises TransientError where the connection of the run is lost, for its lock is lost with it.
        """
        with self._session.use() as connection:
            if self._locked is not None and self._locked is not connection:
                raise TransientError("database: the connection was lost, and the lock of this run with it")
            if self._known_as != (connection, name):
                connection.execute(_Q["be_known"], {"name": f"daemon.{name}"})
                self._known_as = connection, name
            with connection.transaction():
                yield connection


class DutySession:
    """The worker's connection in the hands of one duty."""

    def __init__(self, worker: WorkerSession, name: str) -> None:
        self._worker = worker
        self._name = name

    def close(self) -> None:
        """Give the connection back."""
        self._worker.close()

    @contextmanager
    def slice(self) -> Iterator[psycopg.Connection]:
        """A transaction. Nobody else does this duty at once, as its row says (`alone`)."""
        with self._worker.slice(self._name) as connection:
            yield connection


@dataclass(slots=True)
class Undone:
    """Jobs for which something could not be done: why, of those that fail alone; and those that somebody holds."""

    trouble: dict[int, str] = field(default_factory=dict)
    held: list[int] = field(default_factory=list)


Work = Callable[[Sequence[int]], None]
Held = Callable[[Sequence[int]], Collection[int]]


def bisect(connection: psycopg.Connection, job_ids: Sequence[int], work: Work, held: Held | None = None) -> Undone:
    """Do `work` for all of them at once, in halves where that fails; returns those for which it is not done.

    `held` finds the jobs of which somebody holds a row that `work` waits for, without waiting: the others go on. What
    else passes by itself, or must be mended first, is nobody's fault: it is raised. So is what was waited for and is no
    row of theirs: a table that is locked would be waited for again with each half.
    """
    undone = Undone()
    _bisect(connection, job_ids, work, held, undone)
    return undone


def _bisect(
    connection: psycopg.Connection, job_ids: Sequence[int], work: Work, held: Held | None, undone: Undone
) -> None:
    if not job_ids:
        return
    try:
        with connection.transaction():
            work(job_ids)
        return
    except Exception as error:
        meant = translated(error) if isinstance(error, psycopg.Error) else error
        others = _look(connection, job_ids, held) if held is not None and isinstance(meant, HeldError) else set()
        if isinstance(meant, TransientError) and not others:
            raise
        reason = cut(told(error))
    if others:
        undone.held += others
        _bisect(connection, [job_id for job_id in job_ids if job_id not in others], work, held, undone)
    elif len(job_ids) > 1:
        middle = len(job_ids) // 2
        _bisect(connection, job_ids[:middle], work, held, undone)
        _bisect(connection, job_ids[middle:], work, held, undone)
    else:
        undone.trouble[job_ids[0]] = reason


def _look(connection: psycopg.Connection, job_ids: Sequence[int], held: Held) -> set[int]:
    """Those that somebody holds. To look locks what is free; undone, it keeps nobody from that while others go."""
    with connection.transaction(force_rollback=True):
        return set(held(job_ids))


def put_off_missing(connection: psycopg.Connection, due: Iterable[int], found: Container[int]) -> None:
    """Jobs that are due and were not found: somebody holds them for the moment, or they are no more."""
    missing = {"job_ids": [job_id for job_id in due if job_id not in found]}
    if missing["job_ids"]:
        connection.execute(_Q["drop_vanished"], missing)
        connection.execute(_Q["look_again"], missing | {"seconds": _LOOK_AGAIN_S})


def put_off(connection: psycopg.Connection, undone: Undone) -> None:
    """Held jobs are looked at again soon. Those in trouble say why, and are tried again in an hour."""
    if undone.held:
        connection.execute(_Q["look_again"], {"job_ids": undone.held, "seconds": _HELD_S})
    if undone.trouble:
        reasons = {"job_ids": list(undone.trouble), "reasons": list(undone.trouble.values())}
        connection.execute(_Q["quarantine"], reasons)
