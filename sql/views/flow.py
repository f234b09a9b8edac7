"""The flow of jobs, read for people: hops with rates and percentiles, and what ended minute by minute."""

from datetime import timedelta

from panda_fsm.jobs.states import State
from panda_fsm.views.flow import FlowNow, HopNow, Series, hops
from sql.pool import Pool
from sql.queries import load

_Q = load("views_flow")
_MINUTES = 120
"""For longer hours are enough."""
_WEEK = timedelta(days=7)
_ORDER = tuple(state.value for state in State)


class FlowViews:
    """What the daemon has counted. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def flow(self, site: str | None = None, minutes: int = 5) -> FlowNow:
        """All hops of the last minutes, of one queue or of all, beside those of the same hour a week ago."""
        as_of, behind_s = await self._pool.row(_Q["counted"])
        span = 60 if minutes <= _MINUTES else 3600
        since = as_of - timedelta(minutes=minutes)
        since -= timedelta(seconds=since.timestamp() % span)
        until_then = (as_of - _WEEK).replace(minute=0, second=0, microsecond=0)
        since_then = until_then - timedelta(hours=max(0, minutes // 60 - 1))
        asked = {"site": site or "", "span": span, "since": since, "since_then": since_then, "until_then": until_then}
        rows = await self._pool.rows(_Q["hops"], **asked)
        seconds = max(1.0, (as_of - since).total_seconds())
        return FlowNow(as_of, behind_s, seconds, hops(rows, seconds, _ORDER))

    async def hops(self, site: str | None = None, minutes: int = 5) -> list[HopNow]:
        """The hops alone."""
        return list((await self.flow(site, minutes)).hops)

    async def series(self, site: str | None = None, minutes: int = 60) -> Series:
        """How many ended a second, well and badly, in each of the last whole minutes."""
        as_of, _ = await self._pool.row(_Q["counted"])
        until = as_of.replace(second=0, microsecond=0)
        since = until - timedelta(minutes=minutes)
        rows = await self._pool.rows(_Q["series"], site=site or "", since=since, until=until)
        found = {(slot, destination): jobs / 60 for slot, destination, jobs in rows}
        slots = [since + timedelta(minutes=n) for n in range(minutes)]
        finished, failed = (tuple(found.get((slot, end), 0.0) for slot in slots) for end in ("finished", "failed"))
        return Series(since, finished, failed)

    async def states(self, site: str | None = None) -> dict[str, int]:
        """How many jobs are in each state."""
        return dict(await self._pool.rows(_Q["states"], site=site or ""))
