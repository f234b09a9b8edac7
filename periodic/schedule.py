"""The schedule: each duty in a loop of its own, a bounded slice at a time; the trouble of one is not another's."""

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass

import structlog

from panda_fsm.errors import TooSlowError
from panda_fsm.figures import DUTY_FAILURES, DUTY_SECONDS
from panda_fsm.messages import cut
from panda_fsm.trouble import Backoff, Condition, Kind, kind_of

log = structlog.get_logger()

_BACKOFF_S = (0.5, 30.0)
_NOTED_AFTER = 3
"""Trouble so often in a row is shown; what somebody must mend is shown at once."""
_END_S = 10.0


def _nothing() -> None:
    """What a duty does that holds nothing between its rounds."""


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing that is done by time: `every` so many seconds, or by a cron expression (UTC).

    `run` does one bounded slice and says whether more is due now: then its turn comes again behind the others that are
    due. `alone`: by one daemon at a time, wherever it runs; else by each machine for itself, and never twice on one. A
    slice that takes longer than `limit_s` is ended with its process. `rest` gives back what it holds, at the end.
    """

    name: str
    every: float | str
    what: str
    """One sentence for operators."""
    run: Callable[[], bool]
    _: KW_ONLY
    alone: bool
    limit_s: float = 300.0
    rest: Callable[[], None] = _nothing


class Portion:
    """How much of its work a duty takes at once: half after that was too much, and more again while it is not."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = most

    @contextmanager
    def taken(self) -> Iterator[int]:
        """The size of the next slice."""
        try:
            yield self._size
        except TooSlowError:
            self._size = max(1, self._size // 2)
            raise
        self._size = min(self._most, self._size * 2)


class Schedule:
    """The PanDA daemon. Several may run: a duty that must be alone sees to that itself, slice by slice."""

    def __init__(self, duties: Sequence[Duty], condition: Condition) -> None:
        self._duties = duties
        self._condition = condition
        self._ending = threading.Event()
        self._broken: BaseException | None = None

    def run(self) -> None:
        """Do all duties until `end`. Raises RuntimeError when a loop ends before: the process is to be started anew."""
        loops = [
            threading.Thread(target=self._live, args=(duty,), name=duty.name, daemon=True) for duty in self._duties
        ]
        for loop in loops:
            loop.start()
        self._ending.wait()
        end = time.monotonic() + _END_S
        for loop in loops:
            loop.join(max(0.0, end - time.monotonic()))
        if self._broken is not None:
            raise RuntimeError("a duty's loop has ended") from self._broken

    def end(self) -> None:
        """Stop after the slices in hand."""
        self._ending.set()

    def _live(self, duty: Duty) -> None:
        """The life of a duty's thread. What ends it, ends them all: nobody would miss it in a daemon that goes on."""
        try:
            self._loop(duty)
        except BaseException as error:
            self._broken = error
            self._ending.set()

    def _loop(self, duty: Duty) -> None:
        backoff, failures = Backoff(*_BACKOFF_S), 0
        while not self._ending.is_set():
            began = time.monotonic()
            try:
                more = duty.run()
            except Exception as error:
                failures += 1
                DUTY_FAILURES.add((duty.name,))
                self._note(duty, error, failures)
                pause_s = backoff.next_s()
            else:
                backoff.reset()
                failures = 0
                self._condition.note(duty.name, None)
                DUTY_SECONDS.observe(time.monotonic() - began, (duty.name,))
                pause_s = 0.0 if more else float(duty.every)
            if pause_s >= _BACKOFF_S[1]:
                self._rest(duty)
            self._ending.wait(pause_s)
        self._rest(duty)

    def _note(self, duty: Duty, error: Exception, failures: int) -> None:
        """Say what is wrong: in the log each time, with the traceback where nobody foresaw it; shown when it lasts."""
        kind = kind_of(error)
        reason = cut(f"{type(error).__name__}: {error}")
        log.warning("duty_failed", duty=duty.name, error=reason, exc_info=kind is Kind.UNEXPECTED)
        if kind is Kind.SYSTEMIC or failures >= _NOTED_AFTER:
            self._condition.note(duty.name, reason)

    @staticmethod
    def _rest(duty: Duty) -> None:
        try:
            duty.rest()
        except Exception as error:
            log.warning("duty_failed", duty=duty.name, error=str(error))
