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
    """One daemon tells."""

    def run() -> bool:
        activity.tell()
        return False

    what = "Tells JEDI what pilots do at each queue, and what runs and waits there."
    return Duty("activity", _PERIOD_S, what, run, alone=True, rest=activity.close)
