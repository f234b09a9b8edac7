"""Tasks: which have live jobs, and of one what JEDI asked and what it was told."""

from typing import Annotated

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import AFTER, LIMIT, Filters, Limit, one_of, place, whole
from gateway.dashboard.job import number_in
from gateway.dashboard.page import Page
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.specs.values import MAX_BIGINT
from panda_fsm.views.cursors import Key, Part
from panda_fsm.views.tasks import CURSORS, TaskJob, TaskLife, TaskRow, TasksWanted

HELD = ("yes",)


class TasksFilters(Filters):
    """Which tasks."""

    task: Annotated[int, whole(1, MAX_BIGINT)] | None = Field(None, description="a jediTaskID")
    held: Annotated[str, one_of(HELD)] | None = Field(None, description="yes: those of which no pilot gets a job")
    after: Annotated[Key, place(CURSORS)] | None = Field(None, description=AFTER)
    limit: Limit = Field(50, description=LIMIT)

    @property
    def choices(self) -> tuple[str, ...]:
        """To choose from."""
        return HELD


async def look(board: Board, _call: Call, filters: TasksFilters) -> Part[TaskRow]:
    """Tasks with live jobs, the newest first."""
    wanted = TasksWanted(filters.held is not None, filters.task, filters.after, filters.limit)
    return await board.store.tasks.listed(wanted)


async def look_at_one(board: Board, call: Call, _filters: Filters) -> TaskLife:
    """One task: its jobs, and what JEDI asked and was told."""
    task_id = number_in(call, "task")
    found = await board.store.tasks.one(task_id)
    if found is None:
        raise NotFoundError(
            f"no task {task_id}: no job of it is live or in the archive, nobody holds it, and JEDI asked nothing of it."
        )
    return found


PAGE = Page("tasks", "Tasks", "tasks.html", look, Action.LOOK, TaskRow, TasksFilters, "Tasks")
ONE = Page("tasks/{name}", "Task", "task.html", look_at_one, Action.LOOK, TaskJob)
