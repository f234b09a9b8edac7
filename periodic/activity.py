"""Site activity: once a minute JEDI is told what pilots do at each queue, and what runs and waits there."""

from typing import Protocol

from periodic.schedule import Duty

_PERIOD_S = 60.0


class Activity(Protocol):
    """The database side."""

    def tell(self) -> None:
        """Write down what there was since the last time, and what there is now."""

    def close(self) -> None: ...


def duty(activity: Activity) -> Duty:
    """One clock tells."""

    def run() -> bool:
        activity.tell()
        return False

    return Duty("site activity", _PERIOD_S, run, activity.close)
