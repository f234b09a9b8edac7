"""What is stuck: all live jobs are gone over, a portion at a time, again and again; pages read what was found."""

import time
from collections.abc import Callable
from typing import Protocol

from panda_fsm.views.stuck import Thresholds
from periodic.schedule import Duty, Memory

_PERIOD_S = 0.5
_SLICE = 4000
"""8,000 jobs a second, some ten milliseconds of the database's time: a million jobs in two minutes."""
_SHARE = 0.05
"""Where many are stuck a portion takes longer: then the pause does too, so that no more of the time goes to it."""


class StuckWalk(Protocol):
    """The database side."""

    def step(self, limit: int, thresholds: Thresholds) -> bool:
        """Look at the next `limit` jobs and write down those that are stuck; True when there may be more."""

    def close(self) -> None: ...


def duty(
    walk: StuckWalk, thresholds: Thresholds, share: float = _SHARE, clock: Callable[[], float] = time.monotonic
) -> Duty:
    """A portion each time, and a pause even where more is due: nobody waits for it."""
    rests_until = Memory(0.0)

    def run() -> bool:
        began = clock()
        if began >= rests_until.now:
            walk.step(_SLICE, thresholds)
            ended = clock()
            rests_until.now = ended + (ended - began) * (1 / share - 1)
        return False

    what = "Goes over all live jobs, a portion at a time, for those that are stuck."
    return Duty("stuck", _PERIOD_S, what, run, alone=True, rest=walk.close, memory=rests_until)
