"""Errors of jobs that ended badly, read for people: by code, or by queue and code."""

from datetime import UTC, datetime, timedelta

from panda_fsm.views.errors import ErrorRow, ErrorsView, ErrorsWanted, judged
from sql.pool import Pool
from sql.queries import load

_Q = load("views_errors")
_QUERIES = {by: "\n".join((_Q["of_site"], _Q[f"by_{by}"], _Q["with_samples"])) for by in ("code", "site")}
_MOST = 200


class ErrorViews:
    """What the daemon has counted. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def errors(self, wanted: ErrorsWanted) -> ErrorsView:
        """The most frequent errors since the begin of an hour."""
        since = _hour(wanted.since)
        lately = _hour(datetime.now(UTC)) - timedelta(hours=1)
        asked = {"since": since, "lately": lately, "site": wanted.site, "vo": wanted.vo, "limit": _MOST + 1}
        found = await self._pool.rows(_QUERIES[wanted.by], **asked)
        rows = [ErrorRow(*row) for row in found]
        # Which VO's jobs ended nobody counts.
        ended: dict[str | None, int] = {} if wanted.vo else await self._ended(since, wanted.site)
        total = None if wanted.vo else sum(ended.values())
        shares: dict[str | None, int] = ended if wanted.by == "site" else {None: total or 0}
        return ErrorsView(since, wanted.by, total, judged(rows[:_MOST], shares), len(rows) > _MOST)

    async def _ended(self, since: datetime, site: str | None) -> dict[str | None, int]:
        return dict(await self._pool.rows(_Q["ended"], since=since, site=site))


def _hour(at: datetime) -> datetime:
    return at.replace(minute=0, second=0, microsecond=0)
