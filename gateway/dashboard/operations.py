"""Operations: what is done to all jobs that a filter finds; first what it would come to, then how far it is."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode
from uuid import NAMESPACE_URL, UUID, uuid5

from pydantic import Field
from starlette.responses import RedirectResponse, Response

from gateway.access.identity import OPERATOR, Identity
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.dashboard.actions import TooLateError
from gateway.dashboard.board import Board
from gateway.dashboard.filters import AFTER, LIMIT, Filters, Limit, Text, one_of, place
from gateway.dashboard.jobs import JobsFilters
from gateway.dashboard.page import Page
from gateway.http.decode import query_fields
from gateway.http.refusal import ForbiddenError, NotFoundError, RefusalError
from gateway.http.route import Call
from gateway.wire.forms import BulkForm
from panda_fsm.jobs.acts import Order
from panda_fsm.views.cursors import Key, Part
from panda_fsm.views.job_list import JobsWanted
from panda_fsm.views.operations import (
    BULK,
    CURSORS,
    BulkRun,
    LeftOut,
    Operation,
    OperationsWanted,
    as_filter,
    begun,
)

PATH = "/ui/operations"
BEGIN = "/ui/act/operation"
"""Where the form goes that begins one: what a path takes by which method is in the API document, and forms are not."""
_STATUSES = ("running", "done", "cancelled", "failed")
_NOT_WHICH = ("act", "after", "limit")


class OperationFilters(Filters):
    """Which operations."""

    status: Annotated[str, one_of(_STATUSES)] | None = Field(None, description=f"one of {', '.join(_STATUSES)}")
    actor: Text | None = Field(None, description="who asked for it: a name, or an identity's key")
    after: Annotated[Key, place(CURSORS)] | None = Field(None, description=AFTER)
    limit: Limit = Field(50, description=LIMIT)


class BulkFilters(JobsFilters):
    """What would be done with which jobs."""

    act: Annotated[str, one_of(BULK)] = Field("kill", description=f"what to do: one of {', '.join(BULK)}")

    @property
    def acts(self) -> tuple[str, ...]:
        """To choose from."""
        return BULK

    @property
    def wanted(self) -> JobsWanted:
        """The jobs."""
        return JobsWanted(**{name: value for name, value in dict(self).items() if name not in _NOT_WHICH})


@dataclass(frozen=True, slots=True)
class BulkView:
    """What an act would come to. `filter` and `wanted`: which jobs, in words and as in an address."""

    act: str
    run: BulkRun
    rows: tuple[LeftOut, ...]
    filter: Mapping[str, str]
    wanted: str


async def look(board: Board, _call: Call, filters: OperationFilters) -> Part[Operation]:
    """Operations, the newest first."""
    return await board.store.operations.page(OperationsWanted(**dict(filters)))


async def look_at_one(board: Board, call: Call, _filters: Filters) -> Part[Operation]:
    """How far one is, and what it left out."""
    return Part((await _one(board, str(call.request.path_params["name"])),))


async def look_before(board: Board, call: Call, filters: BulkFilters) -> BulkView:
    """With how many jobs it would be done, with how many not and why."""
    who, wanted = call.identity, filters.wanted
    if wanted == JobsWanted():
        return BulkView(filters.act, BulkRun(0, (), (), False), (), {}, "")
    order = Order(filters.act, who.name, who.key, "")
    run = await board.store.operations.dry_run(wanted, order, who.operates_in(OPERATOR))
    kept = as_filter(wanted)
    return BulkView(filters.act, run, run.rows, kept, urlencode(kept))


async def begin(gateway: Gateway, call: Call, ask: BulkForm) -> Response:
    """The daemon works it off from now on; sent twice it is the same operation."""
    who = call.identity
    vos = who.operates_in(OPERATOR)
    if not vos:
        raise ForbiddenError(f"only for {Action.BULK.who}")
    operation_id = str(uuid5(NAMESPACE_URL, f"{who.key}:{ask.key}"))
    if await gateway.board.store.operations.one(operation_id) is None:
        await gateway.store.operators.begin(await _checked(gateway, who, ask, operation_id, vos))
    return RedirectResponse(f"{PATH}/{operation_id}", 303)


async def _checked(gateway: Gateway, who: Identity, ask: BulkForm, operation_id: str, vos: frozenset[str]) -> Operation:
    """What is asked for, looked at once more. Raises RefusalError, TooLateError."""
    filters: BulkFilters = BulkFilters.model_validate(query_fields(ask.wanted.encode()))
    if filters.wanted == JobsWanted():
        raise RefusalError("choose which jobs: state, site, vo, task, user, code, since or until")
    order = Order(ask.act, who.name, who.key, ask.reason, code=ask.code, priority=ask.priority)
    run = await gateway.board.store.operations.dry_run(filters.wanted, order, vos)
    if not run.eligible and not run.is_cut:
        raise TooLateError("there is no such job any more with which that could be done")
    if run.is_confirmed_by_typing:
        if ask.typed.replace(",", "").strip() != str(ask.eligible):
            raise RefusalError(f"it is about {run.eligible:,} jobs: type how many you were shown, {ask.eligible:,}")
        if run.eligible > 2 * max(1, ask.eligible):
            raise TooLateError(f"it is about {run.eligible:,} jobs by now, not {ask.eligible:,}: look again")
    return begun(operation_id, order, filters.wanted, vos, run)


async def _one(board: Board, operation_id: str) -> Operation:
    try:
        found = await board.store.operations.one(str(UUID(operation_id)))
    except ValueError:
        found = None
    if found is None:
        raise NotFoundError(f"there is no operation {operation_id!r:.80}")
    return found


PAGE = Page("operations", "Operations", "operations.html", look, Action.LOOK, Operation, OperationFilters)
ONE = Page("operations/{name}", "Operation", "operation.html", look_at_one, Action.LOOK, Operation)
BEFORE = Page("bulk", "All of these jobs", "bulk.html", look_before, Action.LOOK, LeftOut, BulkFilters, is_shared=False)
