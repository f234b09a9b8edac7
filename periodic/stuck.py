"""What is stuck: all live jobs are gone over, a portion at a time, again and again; pages read what was found."""

from typing import Protocol

from panda_fsm.views.stuck import Thresholds
from periodic.schedule import Duty

_PERIOD_S = 0.5
_SLICE = 4000
"""8,000 jobs a second, some ten milliseconds of the database's time: a million jobs in two minutes."""


class StuckWalk(Protocol):
    """The database side."""

    def step(self, limit: int, thresholds: Thresholds) -> bool:
        """Look at the next `limit` jobs and write down those that are stuck; True when there may be more."""

    def close(self) -> None: ...


def duty(walk: StuckWalk, thresholds: Thresholds) -> Duty:
    """A portion each time, and a pause even where more is due: nobody waits for it."""

    def run() -> bool:
        walk.step(_SLICE, thresholds)
        return False

    return Duty("stuck", _PERIOD_S, run, walk.close)
