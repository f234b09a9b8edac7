"""How often a duty is done: every so many seconds, or by a cron expression in UTC."""

from datetime import UTC, datetime, timedelta
from math import isfinite

from cronsim import CronSim, CronSimError

from panda_fsm.views.words import duration

Every = float | str
"""Seconds, or a cron expression of five fields (six: seconds first)."""
SHORTEST_S, LONGEST_S = 0.01, 31 * 86_400.0


def checked(every: Every) -> Every:
    """The same. Raises ValueError that says what is wrong."""
    if isinstance(every, str):
        try:
            next(CronSim(every, datetime(2026, 1, 1, tzinfo=UTC)))
        except (CronSimError, StopIteration) as error:
            what = str(error) or "there is no such day"
            raise ValueError(f"{every!r} is no cron expression ({what}): minute hour day month weekday") from None
        return every
    if not isfinite(every) or not SHORTEST_S <= every <= LONGEST_S:
        raise ValueError(f"{every:g} must be from {SHORTEST_S:g} s to {duration(LONGEST_S)}")
    return float(every)


def next_tick(cron: str, now: datetime) -> datetime:
    """The first moment after `now` that the expression names."""
    return next(CronSim(cron, now))


def period_s(every: Every, now: datetime) -> float:
    """The time from one to the next; of a cron expression, from the next to the one after it."""
    if not isinstance(every, str):
        return every
    first = next_tick(every, now)
    return (next_tick(every, first) - first) / timedelta(seconds=1)


def spoken(every: Every) -> str:
    """In words."""
    return f"at {every}" if isinstance(every, str) else f"every {duration(every)}"
