"""Audit: who did what, when, with what result?"""

from typing import Annotated

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import AFTER, LIMIT, SINCE, Filters, Limit, Moment, Text, place
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.audit import CURSORS, DEEDS, AuditEntry, AuditWanted
from panda_fsm.views.cursors import Key, Part


class AuditFilters(Filters):
    """Which deeds."""

    actor: Text | None = Field(None, description="a name, or an identity's key")
    action: Text | None = Field(None, description="such as kill_requested")
    object: Text | None = Field(None, description="such as job 4711, exactly as written there")
    since: Moment | None = Field(None, description=SINCE)
    after: Annotated[Key, place(CURSORS)] | None = Field(None, description=AFTER)
    limit: Limit = Field(50, description=LIMIT)

    @property
    def deeds(self) -> tuple[str, ...]:
        """Actions to choose from."""
        return tuple(DEEDS)


async def look(board: Board, _call: Call, filters: AuditFilters) -> Part[AuditEntry]:
    """Deeds, the newest first."""
    return await board.store.audit.entries(AuditWanted(**filters.model_dump()))


PAGE = Page("audit", "Audit", "audit.html", look, Action.LOOK, AuditEntry, AuditFilters, "Audit")
