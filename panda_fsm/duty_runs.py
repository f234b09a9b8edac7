"""What became of a run of a duty of the daemon: written by the daemon, read by operators."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from panda_fsm.periods import Every

FAST_S = 60.0
"""Of duties that are done more often their runs are counted by the hour, and only what went wrong has a row."""


class Outcome(StrEnum):
    """How a run ended."""

    DONE = "done"
    FAILED = "failed"
    OVER = "ended over its limit"
    DIED = "its process died"


@dataclass(frozen=True, slots=True)
class Run:
    """A run, with all slices that were due one after the other. `seconds` are those of its slices."""

    name: str
    pid: int
    began_at: datetime
    ended_at: datetime
    seconds: float
    slices: int
    outcome: Outcome
    error: str | None = None
    asked_at: datetime | None = None
    """The wish that it answers."""


@dataclass(frozen=True, slots=True)
class InHand:
    """A run that goes on."""

    name: str
    pid: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Told:
    """What a daemon says of a duty that it has."""

    name: str
    what: str
    every: Every
    is_alone: bool
    is_vital: bool
    limit_s: float


@dataclass(slots=True)
class Sums:
    """Runs of a duty since they were written down last."""

    runs: int = 0
    failures: int = 0
    seconds: float = 0.0

    def add(self, other: "Sums") -> None:
        """These too."""
        self.runs += other.runs
        self.failures += other.failures
        self.seconds += other.seconds


@dataclass(frozen=True, slots=True)
class Page:
    """What is written down at once: `runs` get a row each, `last` are the last of each duty."""

    runs: Sequence[Run]
    last: Sequence[Run]
    sums: Mapping[str, Sums]
    in_hand: Sequence[InHand]
    next_s: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Standing:
    """What operators want of the duties: those that are paused, and when somebody asked for a run of which."""

    paused: frozenset[str]
    asked: dict[str, datetime]
