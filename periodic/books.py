"""The books of the daemon: what was run goes into the database, what operators want comes from there; by a thread."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Protocol

import structlog

from panda_fsm.duty_runs import FAST_S, InHand, Outcome, Page, Run, Standing, Sums, Told
from panda_fsm.errors import PandaError
from panda_fsm.trouble import Condition
from periodic.schedule import Duty
from periodic.wake import Wake

log = structlog.get_logger()

_PERIOD_S = 10.0
_LOOK_S = 5.0
"""Who wants something says so at once; a word that was lost is found after so long."""
_AGAIN_S = 1.0
"""While the database is away."""
_MOST_RUNS = 1000
_LONG_S = 2.0
"""What goes on for less is not worth telling."""
_PART = "duty runs"


class Books(Protocol):
    """The database side."""

    def begin(self, duties: Sequence[Told]) -> None:
        """These are the duties. Runs of this machine whose daemon was killed are written down as died."""

    def write(self, page: Page) -> None:
        """Write it down."""

    def standing(self) -> Standing:
        """What operators want."""

    def wait(self, seconds: float, wake: int) -> None:
        """Until somebody wants something else, `wake` can be read, or for so long."""

    def close(self) -> None: ...


class Keeper:
    """Keeps the books beside the master, which never waits for the database."""

    def __init__(
        self,
        books: Books,
        duties: Sequence[Duty],
        condition: Condition,
        changed: Callable[[], None],
        next_s: Callable[[], Mapping[str, float]],
    ) -> None:
        """`changed` is told when there is something new in `standing`."""
        self.standing: Standing | None = None
        self.in_hand: Sequence[InHand] = ()
        self._books = books
        self._duties = [
            Told(duty.name, duty.what, duty.every, duty.alone, duty.is_vital, duty.limit_s) for duty in duties
        ]
        self._fast = {duty.name for duty in duties if not isinstance(duty.every, str) and duty.every < FAST_S}
        self._condition = condition
        self._changed = changed
        self._next_s = next_s
        self._lock = threading.Lock()
        self._runs: list[Run] = []
        self._last: dict[str, Run] = {}
        self._sums: dict[str, Sums] = {}
        self._failing: set[str] = set()
        self._ending = False
        self._is_urgent = False
        self._wake = Wake()
        self._thread = threading.Thread(target=self._live, name="books", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        """Write down what is left."""
        self._ending = True
        self._wake.set()
        self._thread.join(_PERIOD_S)

    def write(self, run: Run) -> None:
        """A run has ended. What somebody waits for, or should know, is written at once."""
        with self._lock:
            self._sums.setdefault(run.name, Sums()).add(Sums(1, run.outcome is not Outcome.DONE, run.seconds))
            self._last[run.name] = run
            if self._has_a_row(run):
                self._runs = [*self._runs, run][-_MOST_RUNS:]
        if run.asked_at is not None or run.outcome in (Outcome.OVER, Outcome.DIED):
            self._is_urgent = True
            self._wake.set()

    def _has_a_row(self, run: Run) -> bool:
        """Of what is done each second, only the first failure in a while."""
        if run.name not in self._fast or run.asked_at is not None:
            return True
        if run.outcome is Outcome.FAILED and run.name in self._failing:
            return False
        if run.outcome is Outcome.FAILED:
            self._failing.add(run.name)
        return run.outcome is not Outcome.DONE

    def _live(self) -> None:
        has_begun, written_at = False, 0.0
        while True:
            is_last = self._ending
            try:
                if not has_begun:
                    self._books.begin(self._duties)
                    has_begun = True
                if is_last or self._is_urgent or time.monotonic() - written_at >= _PERIOD_S:
                    self._write()
                    written_at = time.monotonic()
                self._look()
                self._condition.note(_PART, None)
                pause_s = _LOOK_S
            except Exception as error:  # the duties go on
                log.warning("not_written", error=str(error), exc_info=not isinstance(error, PandaError))
                self._condition.note(_PART, f"what the daemon runs cannot be written down: {error}")
                pause_s = _AGAIN_S
            if is_last:
                break
            self._books.wait(pause_s, self._wake.file)
            self._wake.clear()
        self._books.close()

    def _write(self) -> None:
        """What cannot be written now is written the next time."""
        self._is_urgent = False
        with self._lock:
            runs, last, sums = self._runs, self._last, self._sums
            self._runs, self._last, self._sums = [], {}, {}
            self._failing.clear()
        long = datetime.now(UTC) - timedelta(seconds=_LONG_S)
        in_hand = [one for one in self.in_hand if one.since < long]
        page = Page(runs, list(last.values()), sums, in_hand, self._next_s())
        try:
            self._books.write(page)
        except BaseException:
            with self._lock:
                self._runs, self._last = [*runs, *self._runs][-_MOST_RUNS:], last | self._last
                for name, one in sums.items():
                    self._sums.setdefault(name, Sums()).add(one)
            raise

    def _look(self) -> None:
        standing = self._books.standing()
        if standing != self.standing:
            self.standing = standing
            self._changed()
