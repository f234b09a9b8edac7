"""Job counts: those who make steps append changes, so that no row is hot; here they are added up."""

from typing import Protocol

from periodic.schedule import Duty

_PERIOD_S = 60.0
_SLICE = 20_000
_TOLERATED = 1000
"""So few rows are read in no time."""


class Counts(Protocol):
    """The database side."""

    def fold(self, limit: int, tolerated: int) -> bool:
        """Add up at most `limit` rows where more than `tolerated` lie; True when that made them many fewer."""

    def close(self) -> None: ...


def duty(counts: Counts) -> Duty:
    """Every minute, and at once again while it helps."""
    what = "Adds up the changes of the job counts."
    return Duty("counts", _PERIOD_S, what, lambda: counts.fold(_SLICE, _TOLERATED), alone=True, rest=counts.close)
