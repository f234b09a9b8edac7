"""Search: paste any id, and be led to its page; or read of what it was looked for."""

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters, Text
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.finding import Finding, Hit, asked_for


class GoFilters(Filters):
    """What is looked for."""

    q: Text | None = Field(None, description="an id or a name: of a job, a task, a message, a dead letter, a worker...")


async def look(board: Board, _call: Call, filters: GoFilters) -> Finding:
    """Whatever is called so; a browser is led on where that is one thing."""
    if filters.q is None:
        return Finding("", (), ())
    return await board.store.finding.found(asked_for(filters.q))


def only(found: Finding) -> str | None:
    """Where to go."""
    return found.only


PAGE = Page("go", "Search", "go.html", look, Action.LOOK, Hit, GoFilters, leads_to=only)
