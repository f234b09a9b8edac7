"""How queues do, read for people: all of them, or one with its worker nodes and the last who asked."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, LiteralString

from panda_fsm.views.sites import LEAST_ON_A_NODE, MINUTES, AskRow, NodeRow, SiteCounts
from sql.pool import Pool
from sql.queries import load

_Q = load("views_sites")
_MOST_NODES = 200
"""Of all queues the nodes on which most jobs failed; of one as many as a page shows."""
_NODES_SHOWN = 20


class SiteViews:
    """What gateways and the daemon have counted. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def counts(self, site: str | None = None) -> dict[str, SiteCounts]:
        """Of each queue of which anything is counted, by its name; or of one."""
        found: dict[str, SiteCounts] = {}

        def of(name: str) -> SiteCounts:
            return found.setdefault(name, SiteCounts(name))

        last_hour = {"site": site, "minutes": MINUTES}
        for name, states in _grouped(await self._pool.rows(_Q["states"], site=site)).items():
            of(name).states = dict(states)
        for name, silent_s in await self._pool.rows(_Q["silent"], site=site):
            of(name).silent_s = silent_s
        for name, *asked in await self._pool.rows(_Q["asked"], **last_hour):
            of(name).asks, of(name).jobs, of(name).empty = asked
        for name, finished, failed, stopped, given, waited_s in await self._pool.rows(_Q["ended"], **last_hour):
            one = of(name)
            one.finished, one.failed, one.stopped, one.given, one.waited_s = finished, failed, stopped, given, waited_s
        many = await self._pool.rows(_nodes(site), **last_hour, least=LEAST_ON_A_NODE, limit=_MOST_NODES)
        for name, nodes in _grouped(many).items():
            of(name).nodes = tuple(NodeRow(*node) for node in nodes)
        for name, errors in _grouped(await self._pool.rows(_Q["errors"], site=site)).items():
            of(name).errors = {(component, code): jobs for component, code, jobs in errors}
        return found

    async def nodes(self, site: str) -> tuple[NodeRow, ...]:
        """Its worker nodes on which jobs failed in the last hour, the worst first."""
        asked = {"site": site, "minutes": MINUTES, "least": 1, "limit": _NODES_SHOWN}
        return tuple(NodeRow(*row[1:]) for row in await self._pool.rows(_nodes(site), **asked))

    async def asks(self, site: str) -> tuple[AskRow, ...]:
        """The last who asked, by kind."""
        return tuple(AskRow(*row) for row in await self._pool.rows(_Q["asks"], site=site))


def _nodes(site: str | None) -> LiteralString:
    """Of one queue or of all: each is planned for what it looks for."""
    which: LiteralString = "" if site is None else " AND site = %(site)s"
    return _Q["nodes"].replace(" /* which */", which)


def _grouped(rows: Iterable[tuple[Any, ...]]) -> Mapping[str, list[tuple[Any, ...]]]:
    """Rows by their first column, without it."""
    found = defaultdict(list)
    for name, *rest in rows:
        found[name].append(tuple(rest))
    return found
