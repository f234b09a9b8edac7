"""A worker of the daemon: a process that is kept, with one database connection, and does what it is told to."""

import os
import signal
import sys
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from enum import Enum, auto
from math import inf
from multiprocessing.connection import Connection
from types import FrameType
from typing import Any, Protocol

import structlog

from panda_fsm.errors import told
from panda_fsm.figures import SYSTEM, TALLY
from panda_fsm.messages import cut
from panda_fsm.trouble import Condition, Kind, kind_of
from periodic.schedule import Duty

log = structlog.get_logger()


class Session(Protocol):
    """The worker's database connection."""

    def run(self, name: str, alone: bool) -> AbstractContextManager[bool]:
        """A run of the duty; False: another worker does it, here or (`alone`) anywhere."""

    def close(self) -> None: ...


class Word(Enum):
    """What became of a slice."""

    DONE = auto()
    MORE = auto()
    ELSEWHERE = auto()
    FAILED = auto()


@dataclass(frozen=True, slots=True)
class Order:
    """What the master tells a worker."""

    duty: str
    memory: Any


@dataclass(frozen=True, slots=True)
class Report:
    """What the worker answers."""

    word: Word
    seconds: float
    error: str | None
    kind: Kind | None
    memory: Any
    notes: Sequence[tuple[str, str | None, float]]
    """What duties say of the condition of the process."""
    counted: dict[str, Any]


class Notes(Condition):
    """A worker has no condition: whatever is noted goes to the master, which knows what others noted."""

    def __init__(self) -> None:
        super().__init__()
        self._noted: dict[str, tuple[str, str | None, float]] = {}

    def note(self, part: str, trouble: str | None, for_s: float = inf) -> None:
        self._noted[part] = part, trouble, for_s

    def take(self) -> Sequence[tuple[str, str | None, float]]:
        """What was noted since the last time."""
        taken, self._noted = self._noted, {}
        return list(taken.values())


class Worker:
    """Does one slice after the other until its master ends, or ends it."""

    def __init__(self, duties: Sequence[Duty], session: Session, notes: Notes, master: Connection) -> None:
        self._duties = {duty.name: duty for duty in duties}
        self._session = session
        self._notes = notes
        self._master = master
        self._ending = False
        self._idle = False

    def run(self) -> None:
        """Until the master says so. SIGTERM ends it after the slice in hand."""
        os.set_inheritable(self._master.fileno(), False)  # whom a duty starts must not look like this worker
        signal.signal(signal.SIGTERM, self._end)
        for number in (signal.SIGINT, signal.SIGHUP):
            signal.signal(number, signal.SIG_IGN)  # meant for the master
        self._master.send(None)  # all is loaded
        while not self._ending and (order := self._next()) is not None:
            self._master.send(self._done(self._duties[order.duty], order))
        for duty in self._duties.values():
            _rest(duty)
        self._session.close()

    def _next(self) -> Order | None:
        try:
            self._idle = True
            order: Order | None = self._master.recv()
        except (EOFError, OSError):  # the master is no more
            return None
        finally:
            self._idle = False
        return order

    def _done(self, duty: Duty, order: Order) -> Report:
        if duty.memory is not None and order.memory is not None:
            duty.memory.now = order.memory
        began, error, kind = time.monotonic(), None, None
        try:
            with self._session.run(duty.name, duty.alone) as is_ours:
                began = time.monotonic()
                word = Word.ELSEWHERE if not is_ours else Word.MORE if duty.run() else Word.DONE
        except Exception as failure:
            word, error, kind = Word.FAILED, cut(told(failure)), kind_of(failure)
            log.warning("duty_failed", duty=duty.name, error=error, exc_info=kind is Kind.UNEXPECTED)
        seconds = time.monotonic() - began
        memory = None if duty.memory is None else duty.memory.now
        return Report(word, seconds, error, kind, memory, self._notes.take(), TALLY.take() | SYSTEM.take())

    def _end(self, _number: int, _frame: FrameType | None) -> None:
        self._ending = True
        if self._idle:
            sys.exit(0)


def _rest(duty: Duty) -> None:
    try:
        duty.rest()
    except Exception as error:
        log.warning("duty_failed", duty=duty.name, error=cut(told(error)))
