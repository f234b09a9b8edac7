"""The PanDA daemon's master: it keeps time and gives each slice that is due to a worker; it does none itself."""

import selectors
import time
from collections.abc import Sequence
from functools import partial
from math import inf

import structlog

from panda_fsm.duty_runs import InHand, Outcome, Run
from panda_fsm.figures import DUTY_FAILURES, DUTY_PERIOD, DUTY_SECONDS, DUTY_SILENT, SYSTEM, TALLY
from panda_fsm.trouble import Condition, Kind
from panda_fsm.views.words import duration
from periodic.books import Books, Keeper
from periodic.crew import Crew, Hand, Start
from periodic.schedule import Duty
from periodic.turns import Turn, Turns
from periodic.wake import Wake
from periodic.worker import Report, Word

log = structlog.get_logger()

_NOTED_AFTER = 3
"""Trouble so often in a row is shown; what somebody must mend is shown at once."""
_END_S = 20.0
"""Slices in hand are finished for so long."""
_LEARN_S = 10.0
"""So long it waits to know what is paused before it begins."""
_WORKERS = "workers"


class Daemon:
    """Several may run, on one machine or many: by the locks of their workers nothing is done twice at once."""

    def __init__(self, duties: Sequence[Duty], start: Start, n_proc: int, books: Books, condition: Condition) -> None:
        self._turns = Turns(duties)
        self._selector = selectors.DefaultSelector()
        self._crew = Crew(start, n_proc, self._selector)
        self._condition = condition
        self._ending = False
        self._wake = Wake()
        self._selector.register(self._wake.file, selectors.EVENT_READ)
        self._keeper = Keeper(books, duties, condition, self._wake.set, self._next_seconds)
        self._begin_by = time.monotonic() + _LEARN_S
        for turn in self._turns.by_name.values():
            DUTY_PERIOD.set(turn.period_s, (turn.duty.name,))
            DUTY_SILENT.watch(self, partial(_silent_s, turn=turn), (turn.duty.name,))

    def run(self) -> None:
        """Do all duties until `end`; the slices in hand are finished."""
        self._keeper.start()
        while not self._ending:
            self._crew.tend()
            self._listen(min(self._give(), self._crew.next_s(), self._learn_s()))
            self._end_those_over()
            self._keeper.in_hand = self._in_hand()
        self._finish()

    def end(self) -> None:
        """Called from a signal handler."""
        self._ending = True
        self._wake.set()

    def _learn_s(self) -> float:
        """Seconds for which what is paused is not known and nothing begins."""
        return inf if self._keeper.standing is not None else max(0.05, self._begin_by - time.monotonic())

    def _give(self) -> float:
        """Give what is due to who is idle; seconds until more is due. One worker is kept for what is done each second:
        what may take long has the others."""
        if (standing := self._keeper.standing) is not None:
            self._turns.hear(standing)
        elif time.monotonic() < self._begin_by:
            return inf
        idle = self._crew.idle()
        most_slow = max(1, len(self._crew.hands) - 1)
        slow = sum(not hand.turn.is_quick for hand in self._crew.busy() if hand.turn is not None)
        for turn in self._turns.due():
            if not idle:
                break
            if turn.is_quick or slow < most_slow:
                slow += not turn.is_quick
                hand = next((hand for hand in idle if hand.number == turn.last_worker), idle[0])
                idle.remove(hand)
                self._turns.begun(turn, hand.number, hand.pid)
                self._crew.give(hand, turn)
        return self._turns.next_s()

    def _listen(self, seconds: float) -> None:
        """Until something is said or somebody dies, or for so long."""
        for ready, _ in self._selector.select(None if seconds == inf else max(0.0, seconds)):
            hand: Hand | None = ready.data
            if hand is None:
                self._wake.clear()
                continue
            try:
                report = self._crew.hear(hand)
            except EOFError:
                self._died(hand)
            else:
                self._condition.note(_WORKERS, None)
                if report is not None and hand.turn is not None:
                    self._take(hand, hand.turn, report)

    def _take(self, hand: Hand, turn: Turn, report: Report) -> None:
        """A worker has done its slice."""
        name = turn.duty.name
        hand.turn, turn.memory = None, report.memory
        for part, trouble, for_s in report.notes:
            self._condition.note(part, trouble, for_s)
        for tally in (TALLY, SYSTEM):
            tally.put(report.counted)
        if report.word is Word.FAILED:
            error = report.error or ""
            self._failed(turn, report.seconds, Outcome.FAILED, error, at_once=report.kind is Kind.SYSTEMIC)
            return
        self._condition.note(name, None)
        if report.word is Word.ELSEWHERE:
            self._turns.elsewhere(turn)
            return
        DUTY_SECONDS.observe(report.seconds, (name,))
        if report.word is Word.DONE:
            self._write(self._turns.done(turn, report.seconds))
        else:
            self._write(self._turns.more(turn, report.seconds))

    def _died(self, hand: Hand) -> None:
        turn, pid, is_over = hand.turn, hand.pid, hand.is_over
        seconds = time.monotonic() - hand.began
        self._crew.bury(hand, is_expected=self._ending and turn is None)
        if turn is None:
            if hand.due_at > time.monotonic() and not self._ending:
                self._condition.note(_WORKERS, "a worker process of the daemon ends by itself: its log says why")
            return
        if is_over:
            error = f"was ended: a slice took longer than its limit of {duration(turn.duty.limit_s)}"
            self._failed(turn, seconds, Outcome.OVER, error, at_once=True)
        else:
            error = f"its process {pid} died after {duration(seconds)}"
            self._failed(turn, seconds, Outcome.DIED, error, at_once=False)

    def _failed(self, turn: Turn, seconds: float, outcome: Outcome, error: str, *, at_once: bool) -> None:
        """Shown when it lasts, or when somebody must mend it."""
        DUTY_FAILURES.add((turn.duty.name,))
        self._write(self._turns.failed(turn, seconds, outcome, error))
        if outcome is not Outcome.FAILED:  # that the worker has told itself
            log.error("duty_ended", duty=turn.duty.name, pid=turn.pid, error=error)
        if at_once or turn.failures >= _NOTED_AFTER:
            self._condition.note(turn.duty.name, error)

    def _end_those_over(self) -> None:
        for hand in self._crew.end_those_over():
            if hand.turn is not None:
                log.error("duty_over_limit", duty=hand.turn.duty.name, pid=hand.pid, limit_s=hand.turn.duty.limit_s)

    def _write(self, run: Run | None) -> None:
        if run is not None:
            self._keeper.write(run)

    def _in_hand(self) -> list[InHand]:
        busy = self._crew.busy()
        return [InHand(one.turn.duty.name, one.pid, one.began_at) for one in busy if one.turn and one.began_at]

    def _next_seconds(self) -> dict[str, float]:
        """When each is due, for operators."""
        now = time.monotonic()
        return {name: turn.due_at - now for name, turn in self._turns.by_name.items()}

    def _finish(self) -> None:
        """Slices in hand are waited for, and nothing else begins."""
        until = time.monotonic() + _END_S
        self._crew.dismiss()
        while self._crew.busy() and (left_s := until - time.monotonic()) > 0:
            self._listen(min(left_s, max(0.0, self._crew.next_s()) or left_s))
            self._end_those_over()
            self._crew.dismiss()
        self._crew.end(2.0)
        for run in self._turns.left():
            self._write(run)
        self._keeper.end()


def _silent_s(daemon: Daemon, turn: Turn) -> float | None:
    return daemon._turns.silent_s(turn)
