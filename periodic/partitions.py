"""Month partitions: made months ahead, dropped when they are old enough; rows in a default partition are an alarm."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Protocol

import structlog

from panda_fsm.trouble import Condition
from periodic.schedule import Duty

log = structlog.get_logger()

_PERIOD_S = 1800.0
_MONTHS_AHEAD = 3


class Partitions(Protocol):
    """The database side."""

    def ensure(self, months_ahead: int) -> None:
        """Make the partitions of this month and the next ones that are not there yet."""

    def in_default(self) -> list[str]:
        """The tables whose default partition holds rows."""

    def drop_oldest(self, parent: str, months: int) -> str | None:
        """Drop the oldest partition of a table that ended more than `months` ago; its name, if there is one."""

    def close(self) -> None: ...


def duty(
    partitions: Partitions, history_months: int, archive_months: int, sample_months: int, condition: Condition
) -> Duty:
    """Make those to come, look whether rows fell beside them, drop those older than so many months (0: none)."""
    months = {
        "job_history": history_months,
        "job_archive": archive_months,
        "job_file_archive": archive_months,
        "job_spec_archive": archive_months,
        "job_sample": sample_months,
    }

    def run() -> bool:
        drops = [partial(drop, parent, keep) for parent, keep in months.items() if keep]
        return _each([make, look, *drops])

    def make() -> bool:
        partitions.ensure(_MONTHS_AHEAD)
        return False

    def look() -> bool:
        beside = ", ".join(partitions.in_default())
        wrong = f"rows lie in the default partition of {beside}: panda-fsm partitions repair" if beside else None
        condition.note("default partitions", wrong)
        return False

    def drop(parent: str, keep: int) -> bool:
        gone = partitions.drop_oldest(parent, keep)
        if gone is not None:
            log.info("partition_dropped", partition=gone)
        return gone is not None

    what = "Makes the month partitions to come and drops those that are old enough."
    return Duty("partitions", _PERIOD_S, what, run, alone=True, rest=partitions.close)


def _each(parts: Sequence[Callable[[], bool]]) -> bool:
    """Each part by itself: a table that somebody holds keeps no other from what is its turn."""
    more, failed = False, []
    for part in parts:
        try:
            more = part() or more
        except Exception as error:
            failed.append(error)
    if failed:
        raise failed[0]
    return more
