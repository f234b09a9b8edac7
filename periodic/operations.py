"""Operations: what is wanted of all jobs that a filter finds is asked for in slices, never more than is handled."""

from typing import Protocol

from periodic.schedule import Duty

_PERIOD_S = 1.0
_SLICE = 1000


class Operations(Protocol):
    """The database side."""

    def work(self, limit: int) -> bool:
        """Ask for what is wanted of the next jobs, at most `limit`; True when more is due now."""

    def close(self) -> None: ...


def duty(operations: Operations) -> Duty:
    """Every second, and without a pause while there are jobs left and their services keep up."""
    what = "Works off what operators asked of many jobs at once."
    return Duty("operations", _PERIOD_S, what, lambda: operations.work(_SLICE), alone=True, rest=operations.close)
