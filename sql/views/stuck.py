"""What is stuck, rule by rule: what the daemon's walk found, and bounded looks at what waits elsewhere."""

import asyncio
import time
from datetime import UTC, datetime

import orjson

from panda_fsm.jobs.states import State
from panda_fsm.views.redaction import shown
from panda_fsm.views.stuck import AT_MOST, NEXT, RULES, Place, Rule, StuckJob, StuckNow, Thresholds, states_of
from sql.pool import Pool
from sql.queries import load

_Q = load("views_stuck")
_FRESH_S = 5.0
"""Whoever looks at a page within so long sees the same."""
_QUEUES = 2000
_MISSED = sorted({service for services in NEXT.values() for service in services} | {"relay", "daemon"})
_SERVICES = orjson.dumps({service: states_of(service) for service in _MISSED}).decode()
"""A service is missed by the jobs that wait for it; some by everybody."""


class StuckViews:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool, thresholds: Thresholds) -> None:
        self._pool = pool
        self._thresholds = thresholds
        self._known: list[StuckNow] = []
        self._known_until = 0.0
        self._looking = asyncio.Lock()

    async def summary(self) -> list[StuckNow]:
        """What the rules find, in their order; those that find nothing are left out. Looked up every few seconds."""
        async with self._looking:
            if time.monotonic() >= self._known_until:
                self._known = await self._look()
                self._known_until = time.monotonic() + _FRESH_S
        return self._known

    async def jobs(self, rule: Rule, site: str | None = None, limit: int = 200) -> list[StuckJob]:
        """Some of its jobs, the oldest first; at one site where that is named. Nothing of rules that find no jobs."""
        match rule.name:
            case "state_disagrees":
                query = "jobs_that_disagree"
            case "activated_no_asks" if site is not None:
                query = "jobs_nobody_asks_for"
            case _:
                query = "jobs_of_rule"
        after_s = 0.0 if rule.elsewhere_s is None else self._thresholds.after_s(rule)
        parameters = {"rule": rule.name, "site": site, "limit": limit, "most": AT_MOST, "after_s": after_s}
        rows = await self._pool.rows(_Q[query], **parameters)
        return [
            StuckJob(job_id, at, since, State(state), state_now, task_id, shown(waits_for))
            for job_id, at, since, state, state_now, task_id, waits_for in rows if state
        ]  # fmt: skip

    async def _look(self) -> list[StuckNow]:
        now = datetime.now(UTC)
        after_s = {rule.name: self._thresholds.after_s(rule) for rule in RULES if rule.elsewhere_s is not None}
        parameters = {
            "after_s": orjson.dumps(after_s).decode(), "services": _SERVICES, "most": AT_MOST, "queues": _QUEUES
        }  # fmt: skip
        places: dict[str, list[Place]] = {}
        looked_at: dict[str, datetime] = {}
        for name, noun, place, count, oldest_at, at in await self._pool.rows(_Q["summary"], **parameters):
            places.setdefault(name, []).append(Place(place, count, oldest_at, noun))
            looked_at[name] = min(looked_at.get(name, now), at or now)
        return [_stuck(rule, places[rule.name], looked_at[rule.name]) for rule in RULES if rule.name in places]


def _stuck(rule: Rule, places: list[Place], looked_at: datetime) -> StuckNow:
    """What was counted row by row may be more."""
    by_rows = sum(place.count for place in places if place.noun == "message" or rule.name == "state_disagrees")
    return StuckNow(rule, tuple(places), by_rows >= AT_MOST, looked_at)
