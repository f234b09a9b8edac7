"""Search: paste any id, and be led to its page; or read of what it was looked for."""

from collections.abc import Mapping
from urllib.parse import quote

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters, Text
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.finding import Finding, Hit, asked_for

_PLACES: Mapping[str, str] = {
    "job": "/ui/jobs/", "task": "/ui/tasks/", "dead letter": "/ui/dead/", "site": "/ui/sites/", "queue": "/ui/queues/",
    "operation": "/ui/operations/", "user": "/ui/jobs?user=", "cause": "/ui/dead?fingerprint=",
}  # fmt: skip
_LISTS: Mapping[str, str] = {"worker": "/ui/jobs?site=", "node": "/ui/sites/"}
"""Where one is seen by what is said of it."""


class GoFilters(Filters):
    """What is looked for."""

    q: Text | None = Field(
        None, description="an id or a name: of a job, a task, a message, a dead letter, a block, a user..."
    )


async def look(board: Board, _call: Call, filters: GoFilters) -> Finding:
    """Whatever is called so; a browser is led on where that is one thing."""
    if filters.q is None:
        return Finding("", (), ())
    return await board.store.finding.found(asked_for(filters.q))


def place_of(hit: Hit) -> str | None:
    """Its page, or the list where it is; nothing of what has none: a block, a sandbox."""
    if hit.kind == "message":
        return "/ui/system"
    if hit.kind in _LISTS:
        return f"{_LISTS[hit.kind]}{quote(hit.says.removeprefix('of '), safe='')}"
    return f"{_PLACES[hit.kind]}{quote(hit.name, safe='')}" if hit.kind in _PLACES else None


def only(found: Finding) -> str | None:
    """Where to go, if there is one thing only."""
    return place_of(found.rows[0]) if len(found.rows) == 1 else None


PAGE = Page("go", "Search", "go.html", look, Action.LOOK, Hit, GoFilters, leads_to=only)
