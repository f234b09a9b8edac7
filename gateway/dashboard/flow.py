"""Flow: how long does each transition take, is that worse than last week, and where does it pile up?"""

from typing import Annotated

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters, Text, one_of
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.flow import HopNow
from panda_fsm.views.pipeline import FlowView, flow_view

WINDOWS = {"5min": 5, "1h": 60, "24h": 1440}


class FlowFilters(Filters):
    """Of which queue, and over how long."""

    site: Text | None = Field(None, description="a PanDA queue; all of them without it")
    window: Annotated[str, one_of(tuple(WINDOWS))] = Field("5min", description=f"one of {', '.join(WINDOWS)}")

    @property
    def windows(self) -> tuple[str, ...]:
        """To choose from."""
        return tuple(WINDOWS)


async def look(board: Board, _call: Call, filters: FlowFilters) -> FlowView:
    """Each transition with its rate and its times, now and a week ago."""
    flow = await board.store.flow.flow(filters.site, WINDOWS[filters.window])
    series = await board.store.flow.series(filters.site)
    return flow_view(flow, await board.store.flow.states(filters.site), series)


PAGE = Page("flow", "Flow", "flow.html", look, Action.LOOK, HopNow, FlowFilters, "Flow", age_s=4)
