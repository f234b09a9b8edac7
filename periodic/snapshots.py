"""The oldest transaction: one that stays open keeps dead rows from being removed, and queue tables grow slow."""

from typing import Protocol

from panda_fsm.trouble import Condition
from periodic.schedule import Duty

_PERIOD_S = 30.0
_TOO_OLD_S = 600.0


class Snapshots(Protocol):
    """The database side."""

    def oldest(self) -> tuple[float, str]:
        """The age of the oldest open transaction in seconds, and whose it is."""

    def close(self) -> None: ...


def duty(snapshots: Snapshots, condition: Condition) -> Duty:
    """Look, and say so while one is too old."""

    def run() -> bool:
        age_s, who = snapshots.oldest()
        old = f"a transaction is open for {age_s / 60:.0f} min ({who}): dead rows stay" if age_s > _TOO_OLD_S else None
        condition.note("old transaction", old)
        return False

    what = "Looks for a transaction that stays open for too long: dead rows cannot go meanwhile."
    return Duty("snapshots", _PERIOD_S, what, run, alone=False, rest=snapshots.close)
