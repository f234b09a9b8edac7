"""Jobs: show me these jobs, in a shareable address."""

from typing import Annotated

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import AFTER, LIMIT, SINCE, Filters, Limit, Moment, Read, Text, one_of, place, whole
from gateway.dashboard.page import Page
from gateway.http.route import Call
from panda_fsm.jobs.states import State
from panda_fsm.specs.values import MAX_BIGINT
from panda_fsm.views.cursors import Key
from panda_fsm.views.job_list import CURSORS, ErrorCode, JobPage, JobRow, JobsWanted

STATES = tuple(state.value for state in State)


class JobsFilters(Filters):
    """Which jobs."""

    state: Annotated[str, one_of(STATES)] | None = Field(None, description=f"one of {', '.join(STATES)}")
    site: Text | None = Field(None, description="a PanDA queue")
    vo: Text | None = Field(None, description="an experiment")
    task: Annotated[int, whole(0, MAX_BIGINT)] | None = Field(None, description="a jediTaskID")
    user: Text | None = Field(None, description="whose jobs, by name")
    code: Annotated[ErrorCode, Read(ErrorCode.read, {"type": "string", "maxLength": 40})] | None = Field(
        None, description="an error: its number, or whose it is and the number, as pilot:1151"
    )
    since: Moment | None = Field(None, description=f"in their state, or ended, since then: {SINCE}")
    until: Moment | None = Field(None, description=f"in their state, or ended, before then: {SINCE}")
    after: Annotated[Key, place(CURSORS)] | None = Field(None, description=AFTER)
    limit: Limit = Field(50, description=LIMIT)

    @property
    def states(self) -> tuple[str, ...]:
        """To choose from, in the order of a job's life."""
        return STATES


async def look(board: Board, _call: Call, filters: JobsFilters) -> JobPage:
    """Jobs, live ones before archived ones, the newest first."""
    return await board.store.job_list.page(JobsWanted(**dict(filters)))


PAGE = Page("jobs", "Jobs", "jobs.html", look, Action.LOOK, JobRow, JobsFilters, "Jobs")
