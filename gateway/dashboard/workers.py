"""Workers: which process lives, idles, is stuck or of an old version, and what is missing?"""

from typing import Literal

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters, Text
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.views.workers import WorkerNow, Workers, workers

GATEWAY = "gateway"


class WorkerFilters(Filters):
    """Which processes."""

    service: Text | None = Field(None, description="such as adder")
    host: Text | None = Field(None, description="the machine that they run on")
    standing: Literal["alive", "paused", "in trouble", "stuck", "silent"] | None = Field(
        None, description="alive, paused, in trouble, stuck or silent"
    )


async def look(board: Board, _call: Call, filters: WorkerFilters) -> Workers:
    """Every process as it showed itself last; those that need somebody come first."""
    found = workers(await board.store.workers.now(), {GATEWAY, *board.config.services})
    wanted = filters.model_dump(exclude_none=True)
    rows = (one for one in found.rows if all(getattr(one, name) == value for name, value in wanted.items()))
    return Workers(tuple(rows), found.missing, found.programs)


PAGE = Page("workers", "Workers", "workers.html", look, Action.LOOK, WorkerNow, WorkerFilters, "Workers")
