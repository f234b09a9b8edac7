"""Errors: what is failing, since when, whose fault?"""

from datetime import UTC, datetime, timedelta
from typing import Annotated

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import SINCE, Filters, Moment, Text, one_of
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.errors import BY, ErrorRow, ErrorsView, ErrorsWanted

_USUALLY = timedelta(hours=24)
_MOST = timedelta(days=15)
"""Older counts are forgotten."""


class ErrorsFilters(Filters):
    """Which errors."""

    by: Annotated[str, one_of(BY)] = Field("code", description="code, or site: each queue by itself")
    site: Text | None = Field(None, description="a PanDA queue")
    vo: Text | None = Field(None, description="an experiment")
    since: Moment | None = Field(None, description=f"by whole hours, 24h unless told: {SINCE}")

    @property
    def choices(self) -> tuple[str, ...]:
        """By what they may be grouped."""
        return BY


async def look(board: Board, _call: Call, filters: ErrorsFilters) -> ErrorsView:
    """Errors of jobs that ended badly, the most frequent first."""
    now = datetime.now(UTC)
    since = max(filters.since or now - _USUALLY, now - _MOST)
    return await board.store.errors.errors(ErrorsWanted(since, filters.by, filters.site, filters.vo))


PAGE = Page("errors", "Errors", "errors.html", look, Action.LOOK, ErrorRow, ErrorsFilters, "Errors", age_s=5)
