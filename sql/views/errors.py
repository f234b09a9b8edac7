"""Errors of jobs that ended badly, read for people: by code, or by queue and code."""

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from panda_fsm.views.errors import ErrorRow, ErrorsView, ErrorsWanted, judged
from sql.pool import Pool
from sql.queries import load

_Q = load("views_errors")
_MOST = 200
_HOURS = timedelta(hours=25)
"""Whoever looks further back sees whole days."""
_NEWEST = 40
"""Of so many counts of an error, by hour and queue, it is known where it is met most."""
_WHICH: Mapping[str, LiteralString] = {"site": " AND site = %(site)s", "vo": " AND vo = %(vo)s"}


class ErrorViews:
    """What the daemon has counted. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def errors(self, wanted: ErrorsWanted) -> ErrorsView:
        """The most frequent errors since the begin of an hour, or of a day."""
        now = datetime.now(UTC)
        by_days = now - wanted.since > _HOURS
        since = _hour(wanted.since).replace(hour=0) if by_days else _hour(wanted.since)
        asked = {
            "since": since, "lately": _hour(now) - timedelta(hours=1), "by_days": by_days, "site": wanted.site,
            "vo": wanted.vo, "limit": _MOST + 1, "newest": _NEWEST,
        }  # fmt: skip
        rows = [ErrorRow(*row) for row in await self._pool.rows(_query(wanted), **asked)]
        # Which VO's jobs ended nobody counts.
        ended: dict[str | None, int] = {} if wanted.vo else await self._ended(wanted, asked)
        total = None if wanted.vo else sum(ended.values())
        shares: dict[str | None, int] = ended if wanted.by == "site" else {None: total or 0}
        return ErrorsView(since, wanted.by, total, judged(rows[:_MOST], shares), len(rows) > _MOST)

    async def _ended(self, wanted: ErrorsWanted, asked: Mapping[str, Any]) -> dict[str | None, int]:
        query = _Q["ended" if _is_of_all(wanted) else "ended_by_site"].replace(" /* which */", _which(wanted))
        return {site: jobs or 0 for site, jobs in await self._pool.rows(query, **asked)}


def _query(wanted: ErrorsWanted) -> LiteralString:
    """What is not asked for does not stand in the statement: so each is planned for what it looks for."""
    is_of_all = _is_of_all(wanted)
    part = "of_all" if is_of_all else "of_sites"
    sites = _Q["sites"] if is_of_all else "SELECT ARRAY[coalesce(m.site, %(site)s::text)]"
    text = "\n".join((_Q["over"], _Q[part], _Q[f"by_{wanted.by}"], _Q["with_samples"].replace("/* sites */", sites)))
    return text.replace(" /* which */", _which(wanted))


def _is_of_all(wanted: ErrorsWanted) -> bool:
    return wanted.by == "code" and wanted.site is None


def _which(wanted: ErrorsWanted) -> LiteralString:
    which: LiteralString = ""
    for name, condition in _WHICH.items():
        if getattr(wanted, name) is not None:
            which += condition
    return which


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
