"""Whose turn it is: when each duty is due, first come first served, and what becomes of a slice."""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from math import inf
from typing import Any

from panda_fsm.duty_runs import Outcome, Run, Standing
from panda_fsm.periods import next_tick, period_s
from panda_fsm.trouble import Backoff
from periodic.schedule import Duty

BACKOFF_S = (0.5, 30.0)
_QUICK_S = 1.0
"""Duties that are done so often never wait for those that may take long: one worker is kept for them."""
_LOOK_AGAIN_S = 60.0
"""A clock may be set meanwhile: a cron expression is looked at again after so long."""
_LONG_S = 60.0
"""A run without an end is written down after so long, and another one begins."""


def _wall() -> datetime:
    return datetime.now(UTC)


@dataclass(slots=True)
class Turn:
    """A duty's place in the line."""

    duty: Duty
    number: int
    period_s: float
    due_at: float
    memory: Any
    last_worker: int | None = None
    pid: int = 0
    in_hand: bool = False
    asked_at: datetime | None = None
    """Somebody wants it to run now."""
    answers: datetime | None = None
    """The wish that the run in hand answers."""
    failures: int = 0
    backoff: Backoff = field(default_factory=lambda: Backoff(*BACKOFF_S))
    base: float = -inf
    """When the run in hand was due, from which the next is counted."""
    began_at: datetime | None = None
    """Of the run, which may take several slices."""
    slices: int = 0
    seconds: float = 0.0
    succeeded: float = 0.0
    tick: datetime | None = None

    @property
    def is_quick(self) -> bool:
        return self.period_s <= _QUICK_S


class Turns:
    """The line of all duties."""

    def __init__(
        self,
        duties: Sequence[Duty],
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = _wall,
    ) -> None:
        """All are due at once, but for those that go by a cron expression."""
        self._clock = clock
        self._wall = wall
        now = clock()
        self.by_name = {
            duty.name: Turn(
                duty, number, period_s(duty.every, wall()), now, duty.memory.now if duty.memory else None, succeeded=now
            )
            for number, duty in enumerate(duties)
        }
        for turn in self.by_name.values():
            if isinstance(turn.duty.every, str):
                self._await_tick(turn, turn.duty.every, now)
        self._paused: frozenset[str] = frozenset()
        self._heard: dict[str, datetime] = {}

    def due(self) -> Iterator[Turn]:
        """Those that are due, who waits longest first."""
        now = self._clock()
        found = [turn for turn in self.by_name.values() if not turn.in_hand and turn.due_at <= now]
        for turn in sorted(found, key=lambda turn: (turn.due_at, turn.number)):
            if self._is_early(turn, now) or self.is_paused(turn):
                continue
            yield turn

    def next_s(self) -> float:
        """Seconds until another one is due."""
        now = self._clock()
        coming = (turn.due_at for turn in self.by_name.values() if not turn.in_hand and turn.due_at > now)
        return min(coming, default=inf) - now

    def is_paused(self, turn: Turn) -> bool:
        """Whether it waits until somebody lets it go on. A run that somebody asked for is done in full all the same."""
        return turn.duty.name in self._paused and turn.asked_at is None and turn.answers is None

    def hear(self, standing: Standing) -> None:
        """What operators want now."""
        self._paused = standing.paused
        for name, at in standing.asked.items():
            turn = self.by_name.get(name)
            if turn is not None and self._heard.get(name) != at:
                turn.asked_at, turn.tick = at, None
                turn.due_at = min(turn.due_at, self._clock())
            self._heard[name] = at

    def begun(self, turn: Turn, worker: int, pid: int) -> None:
        """A worker has it."""
        if turn.began_at is None:
            turn.began_at, turn.base = self._wall(), turn.due_at
            turn.slices, turn.seconds = 0, 0.0
            turn.answers, turn.asked_at = turn.asked_at, None
        turn.in_hand, turn.last_worker, turn.pid = True, worker, pid

    def elsewhere(self, turn: Turn) -> None:
        """Another daemon does it, and answers whoever asked."""
        turn.failures = 0
        turn.backoff.reset()
        turn.in_hand, turn.began_at, turn.answers = False, None, None
        self._wait(turn)

    def more(self, turn: Turn, seconds: float) -> Run | None:
        """More is due now, behind the others; the run, once it is a long one."""
        self._well(turn)
        turn.in_hand = False
        turn.slices, turn.seconds, turn.due_at = turn.slices + 1, turn.seconds + seconds, self._clock()
        is_long = turn.began_at is not None and (self._wall() - turn.began_at).total_seconds() > _LONG_S
        return self._ended(turn, Outcome.DONE, None) if is_long else None

    def done(self, turn: Turn, seconds: float) -> Run:
        """Nothing more is due: the run has ended, and the next is a period after this one was due, or now."""
        self._well(turn)
        turn.in_hand = False
        turn.slices, turn.seconds = turn.slices + 1, turn.seconds + seconds
        self._wait(turn)
        return self._ended(turn, Outcome.DONE, None)

    def failed(self, turn: Turn, seconds: float, outcome: Outcome, error: str) -> Run:
        """It is tried again soon, ever later."""
        turn.failures += 1
        turn.in_hand = False
        turn.slices, turn.seconds, turn.tick = turn.slices + 1, turn.seconds + seconds, None
        turn.due_at = self._clock() + turn.backoff.next_s()
        return self._ended(turn, outcome, error)

    def left(self) -> list[Run]:
        """At the end of the daemon: runs of which more was due, and those that would not end."""
        begun = [turn for turn in self.by_name.values() if turn.began_at is not None]
        return [
            self._ended(turn, Outcome.DIED, "its daemon ended before it did")
            if turn.in_hand
            else self._ended(turn, Outcome.DONE, None)
            for turn in begun
        ]

    def silent_s(self, turn: Turn) -> float | None:
        """Since when it has not succeeded; None while it is paused."""
        return None if turn.duty.name in self._paused else self._clock() - turn.succeeded

    def _well(self, turn: Turn) -> None:
        turn.failures = 0
        turn.backoff.reset()
        turn.succeeded = self._clock()

    def _ended(self, turn: Turn, outcome: Outcome, error: str | None) -> Run:
        now = self._wall()
        began_at, answers = turn.began_at or now, turn.answers
        turn.began_at = turn.answers = None
        return Run(turn.duty.name, turn.pid, began_at, now, turn.seconds, turn.slices, outcome, error, answers)

    def _wait(self, turn: Turn) -> None:
        now = self._clock()
        if turn.asked_at is not None:  # while it ran
            turn.due_at = now
        elif isinstance(turn.duty.every, str):
            self._await_tick(turn, turn.duty.every, now)
        else:
            turn.due_at = max(turn.base + turn.duty.every, now)

    def _await_tick(self, turn: Turn, cron: str, now: float) -> None:
        wall = self._wall()
        turn.tick = next_tick(cron, wall)
        turn.due_at = now + min((turn.tick - wall).total_seconds(), _LOOK_AGAIN_S)

    def _is_early(self, turn: Turn, now: float) -> bool:
        """It was only looked at: its moment by the wall's clock has not come."""
        if turn.tick is None or (left_s := (turn.tick - self._wall()).total_seconds()) <= 0:
            return False
        turn.due_at = now + min(left_s, _LOOK_AGAIN_S)
        return True
