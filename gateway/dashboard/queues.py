"""Queues: what is piling up, who is consuming, how old is the oldest? And one of them, with its last hour."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from pydantic import Field

from gateway.access.policy import Action
from gateway.dashboard.board import Board
from gateway.dashboard.filters import Filters
from gateway.dashboard.page import Page
from gateway.http.refusal import NotFoundError
from gateway.http.route import Call
from panda_fsm.bindings import bindings
from panda_fsm.pausing import NEVER, Pause
from panda_fsm.views.queue_hours import Cause, Hour
from panda_fsm.views.queues import QueueNow
from panda_fsm.views.workers import WorkerNow

READERS: Mapping[str, str] = {"service": "our services", "broker": "the broker, when a delay is over", "jedi": "JEDI"}


class QueueFilters(Filters):
    """Which queues."""

    reader: Literal["service", "broker", "jedi"] | None = Field(
        None, description="who reads them: service (ours), broker (the delays) or jedi"
    )
    level: Literal["ok", "warn", "bad"] | None = Field(None, description="how they do: ok, warn or bad")


@dataclass(frozen=True, slots=True)
class QueuesView:
    """The queues that were asked for, and what is paused, sites too."""

    rows: tuple[QueueNow, ...]
    pauses: tuple[Pause, ...]


@dataclass(frozen=True, slots=True)
class QueueView:
    """One queue: what is routed to it, who serves it (the rows), its last hour and its dead letters."""

    queue: QueueNow
    reader: str
    keys: tuple[str, ...]
    may_be_paused: bool
    rows: tuple[WorkerNow, ...]
    hour: Hour
    causes: tuple[Cause, ...]


async def look(board: Board, _call: Call, filters: QueueFilters) -> QueuesView:
    """What waits, who takes it, how old the oldest is; what needs somebody comes first."""
    wanted = filters.model_dump(exclude_none=True)
    found = await board.store.queues.now()
    rows = (one for one in found if all(getattr(one, name) == value for name, value in wanted.items()))
    return QueuesView(tuple(rows), tuple(await board.store.queues.pauses()))


async def look_at_one(board: Board, call: Call, _filters: Filters) -> QueueView:
    """What a queue is for, who serves it, its last hour, and what died in it."""
    name = str(call.request.path_params["name"])
    queue = await board.store.queues.one(name)
    if queue is None:
        raise NotFoundError(f"there is no queue {name!r:.80}")
    workers = [one for one in await board.store.workers.now() if one.queue == name]
    return QueueView(
        queue,
        READERS[queue.reader],
        tuple(sorted(bindings().get(name, ()))),
        queue.reader == "service" and name != NEVER,
        tuple(workers),
        await board.store.queues.hour(name),
        tuple(await board.store.queues.died(name)),
    )


PAGE = Page("queues", "Queues", "queues.html", look, Action.LOOK, QueueNow, QueueFilters, "Queues")
ONE = Page("queues/{name}", "Queue", "queue.html", look_at_one, Action.LOOK, WorkerNow)
