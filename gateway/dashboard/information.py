"""Queue data: what is known of PanDA queues, by whose word, and which sources are in trouble?"""

from typing import Annotated

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import AFTER, LIMIT, Filters, Limit, Text, one_of, place
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.sites import Status
from panda_fsm.views.cursors import Key
from panda_fsm.views.information import CURSORS, FactsWanted, InformationView, QueueFacts

STATUSES = tuple(status.value for status in Status)


class InformationFilters(Filters):
    """Which queues."""

    name: Text | None = Field(None, description="a part of the queue's name")
    status: Annotated[str, one_of(STATUSES)] | None = Field(
        None, description=f"what is set, or else said by its source: {', '.join(STATUSES)}"
    )
    source: Text | None = Field(None, description="who says it: a source by its name")
    after: Annotated[Key, place(CURSORS)] | None = Field(None, description=AFTER)
    limit: Limit = Field(50, description=LIMIT)

    @property
    def statuses(self) -> tuple[str, ...]:
        """To choose from."""
        return STATUSES


async def look(board: Board, _call: Call, filters: InformationFilters) -> InformationView:
    """PanDA queues with status, limits and source, by name; sources, and what of them cannot be used."""
    wanted = FactsWanted(filters.name, filters.status, filters.source, filters.after, filters.limit)
    store = board.store.information
    part = await store.queues(wanted, board.sites)
    return InformationView(part.rows, await store.sources(), await store.rejected(), part.next)


PAGE = Page("information", "Queue data", "information.html", look, Action.LOOK, QueueFacts, InformationFilters)
