"""Held tasks of JEDI's: what of their jobs became activated meanwhile is throttled, or let go with its task."""

from typing import Protocol

from periodic.schedule import Duty

_SETTLE_S, _CHECK_S = 5.0, 60.0
_SLICE = 1000


class HeldTasks(Protocol):
    """The database side."""

    def settle(self, limit: int) -> bool:
        """Have jobs throttled that became activated while their task was held; True when there may be more."""

    def check(self, limit: int) -> bool:
        """The same for jobs that wait for pilots all the same."""

    def close(self) -> None: ...


def settling(tasks: HeldTasks) -> Duty:
    """Every few seconds: no pilot gets these jobs meanwhile."""
    what = "Throttles jobs that became activated while their task was held."
    return Duty("held_jobs", _SETTLE_S, what, lambda: tasks.settle(_SLICE), alone=True, rest=tasks.close)


def checking(tasks: HeldTasks) -> Duty:
    """Every minute: somebody may not have seen that a task is held."""
    what = "Throttles jobs of held tasks that wait for pilots all the same."
    return Duty("held_tasks", _CHECK_S, what, lambda: tasks.check(_SLICE), alone=True, rest=tasks.close)
