"""Sites: is this queue asking, receiving, running, failing? And one of them, with what fails there and who asks."""

from collections.abc import Collection, Iterator
from datetime import UTC, datetime, timedelta

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters
from gateway.dashboard.page import Page
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.jobs.states import State
from panda_fsm.pausing import Pause
from panda_fsm.views.errors import ErrorsWanted
from panda_fsm.views.flow import HopNow
from panda_fsm.views.information import QueueFacts, queue_facts, storage_facts
from panda_fsm.views.sites import SiteCounts, SiteRow, SitesView, SiteView, site_row, worst_first

_MOST = 500
_ERRORS = 10
_SINCE = timedelta(hours=24)
_LONGEST_VALUE = 200
_AGE_S = 5.0
"""What is counted of an hour, by the daemon every few seconds, may be so old."""


async def look(board: Board, _call: Call, _filters: Filters) -> SitesView:
    """What pilots ask and get, how jobs end, what is wrong; the worst first. Counts are of the last hour."""
    counts = await board.store.sites.counts()
    for name in board.sites.queues:
        counts.setdefault(name, SiteCounts(name))
    paused = await _paused(board)
    rows = worst_first(site_row(_known(board, one, paused)) for one in counts.values())
    return SitesView(rows[:_MOST], len(rows) > _MOST, await board.store.information.sources())


async def look_at_one(board: Board, call: Call, _filters: Filters) -> SiteView:
    """How a queue does, its hops, what fails and on which nodes, which pilots ask, and how it is set up."""
    name = str(call.request.path_params["name"])
    counts = await board.store.sites.counts(name) if name.isprintable() else {}
    if name not in counts and name not in board.sites.queues:
        raise NotFoundError(f"there is no queue {name!r:.80}: no source has it, and no job or pilot named it")
    paused = await _paused(board)
    one = _known(board, counts.get(name, SiteCounts(name)), paused)
    store = board.store
    errors = await store.errors.errors(ErrorsWanted(datetime.now(UTC) - _SINCE, "site", name))
    facts = await _facts(board, name)
    return SiteView(
        site_row(one),
        paused.get(name),
        tuple((state.value, one.states[state]) for state in State if state in one.states),
        await store.flow.series(name),
        errors.rows[:_ERRORS],
        await store.sites.nodes(name),
        await store.sites.asks(name),
        facts,
        () if facts is None else storage_facts(facts, board.sites),
        await store.information.history(name),
        await store.information.rejected(name),
        tuple(_settings(board, name)),
        tuple(await store.flow.hops(name, 60)),
    )


async def _paused(board: Board) -> dict[str, Pause]:
    return {pause.name: pause for pause in await board.store.queues.pauses() if pause.kind == "site"}


def _known(board: Board, counts: SiteCounts, paused: Collection[str]) -> SiteCounts:
    counts.status = board.sites.status_at(counts.name, datetime.now(UTC))
    counts.is_paused = counts.name in paused
    return counts


async def _facts(board: Board, name: str) -> QueueFacts | None:
    """Of a database into which nothing was imported yet: what this process read."""
    found, known = await board.store.information.queue(name, board.sites), board.sites.queues.get(name)
    if found is not None or known is None:
        return found
    return queue_facts(name, "", known, None, board.sites, datetime.now(UTC))


def _settings(board: Board, name: str) -> Iterator[tuple[str, str]]:
    """What its pilots read, where it is a word or a number."""
    queue = board.sites.queues.get(name)
    if queue is not None:
        for key, value in sorted(queue.queuedata.items()):
            if isinstance(value, str | int | float) and value != "":
                yield key, str(value)[:_LONGEST_VALUE]


PAGE = Page("sites", "Sites", "sites.html", look, Action.LOOK, SiteRow, Filters, "Sites", age_s=_AGE_S)
ONE = Page("sites/{name}", "Site", "site.html", look_at_one, Action.LOOK, HopNow, age_s=_AGE_S)
