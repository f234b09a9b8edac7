"""`panda-fsm jobs kill | reassign`: what would be done is said; `--yes` asks for it, by requests like any others."""

import getpass
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any
from uuid import uuid4

import typer

from command import asking, terminal
from command.asking import Store
from panda_fsm.auditing import about_jobs

if TYPE_CHECKING:
    from panda_fsm.jobs.acts import Act, Order
    from panda_fsm.jobs.judgement import JobRow
    from panda_fsm.views.job_list import JobsWanted
    from panda_fsm.views.operations import BulkRun

MOST = 10_000
"""Jobs that are named in one command."""
_AT_ONCE = 500
_EXAMPLES = 10

_LONGEST_REASON, _LONGEST_ACTOR = 500, 100


def _user() -> str:
    """Who is logged in here."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "somebody"


def _sane(longest: int) -> Callable[[str], str]:
    """A sentence that says something, and is no longer than a message may carry."""

    def read(text: str) -> str:
        found = terminal.harmless(text).strip()
        if not found or len(found) > longest:
            raise typer.BadParameter(f"must have 1 to {longest} characters")
        return found

    return read


Ids = Annotated[list[int] | None, typer.Argument(min=1, max=2**63 - 1, metavar="[PANDAID]...", help="which jobs")]
Reason = Annotated[
    str, typer.Option(help="why, for the audit and for the jobs' history", callback=_sane(_LONGEST_REASON))
]
Yes = Annotated[bool, typer.Option("--yes", help="do it; without it, only say what would be done")]
Actor = Annotated[
    str, typer.Option(help="who does it, for the audit", default_factory=_user, callback=_sane(_LONGEST_ACTOR))
]


@dataclass(slots=True)
class Judged:
    """Jobs with which it can be done, and why not with the others."""

    jobs: list["JobRow"] = field(default_factory=list)
    why_not: dict[int, str] = field(default_factory=dict)

    def as_json(self, act: str, done: bool) -> dict[str, Any]:
        """What was found, and whether it is on its way."""
        refused = {str(job_id): why for job_id, why in self.why_not.items()}
        return {"act": act, "done": done, "jobs": [str(job.job_id) for job in self.jobs], "not": refused}


def act(order: "Order", ids: Sequence[int] | None, asked: Mapping[str, Any], yes: bool, as_json: bool) -> None:
    """Do it with the jobs that were named, or with all that the filters find. Exit code 1: with none of them it can be
    done."""
    filters = {name: value for name, value in asked.items() if value is not None}
    if bool(ids) == bool(filters):
        raise typer.BadParameter("name jobs by their PandaIDs, or by filters: one of both")
    if filters:
        _act_on_all(order, filters, yes, as_json)
        return
    if len(ids or ()) > MOST:
        raise typer.BadParameter(f"more than {MOST:,} jobs: choose them by a filter")
    judged = asking.ask(lambda store: _act(store, order, ids or (), yes))
    _tell(judged, order, yes, as_json)
    raise typer.Exit(0 if judged.jobs else 1)


def _act_on_all(order: "Order", filters: Mapping[str, Any], yes: bool, as_json: bool) -> None:
    """An operation, as the page begins it: the daemon works it off, and it can be watched and stopped."""
    from gateway.dashboard import typed
    from gateway.dashboard.filters import FilterError
    from gateway.dashboard.operations import BEFORE, BulkFilters

    try:
        bulk: BulkFilters = typed.filters(BEFORE, {**filters, "act": order.act})
    except FilterError as error:
        raise typer.BadParameter(str(error)) from None
    run, operation_id = asking.ask(lambda store: _begin(store, order, bulk.wanted, yes))
    if as_json:
        refused = {row.why: row.jobs for row in run.rows}
        said = {"act": order.act, "done": operation_id is not None, "jobs": run.eligible, "is_at_least": run.is_cut}
        terminal.say_json(said | {"not": refused, "operation": operation_id})
    else:
        least = "at least " if run.is_cut else ""
        rows = [("would", f"{least}so many", run.eligible)] if run.eligible or run.is_cut else []
        rows += [("not", row.why, row.jobs) for row in run.rows[:_EXAMPLES]]
        terminal.show((order.act, "which, or why not", "jobs"), rows)
        if operation_id is not None:
            terminal.aside(
                f"operation {operation_id} has begun: panda-fsm operations, or /ui/operations/{operation_id}"
            )
        elif rows and rows[0][0] == "would":
            terminal.aside("nothing was done yet: --yes does it")
    raise typer.Exit(0 if run.eligible or run.is_cut else 1)


async def _begin(store: Store, order: "Order", wanted: "JobsWanted", yes: bool) -> tuple["BulkRun", str | None]:
    """What it would come to, and the operation's id if it was begun."""
    from panda_fsm.jobs.acts import EVERYWHERE
    from panda_fsm.views.operations import begun

    run = await store.dashboards.operations.dry_run(wanted, order, frozenset({EVERYWHERE}))
    if not yes or not (run.eligible or run.is_cut):
        return run, None
    operation = begun(str(uuid4()), order, wanted, frozenset({EVERYWHERE}), run)
    await store.operators.begin(operation)
    return run, operation.operation_id


async def _act(store: Store, order: "Order", ids: Sequence[int], yes: bool) -> Judged:
    from panda_fsm.jobs.acts import ACTS

    row = ACTS[order.act]
    judged = Judged()
    for some in _portions(list(dict.fromkeys(ids))):
        await _judge(store, row, order, some, judged)
    if yes:
        for jobs in _portions(judged.jobs):
            await _ask_for(store, row, order, jobs)
    return judged


async def _judge(store: Store, row: "Act", order: "Order", ids: Sequence[int], judged: Judged) -> None:
    known = await store.requests.jobs(ids)
    held = await store.operators.held_back(ids)
    for job_id in ids:
        job = known.get(job_id)
        if job is not None:
            job.task_is_held = job_id in held
        why_not = "is not known" if job is None else row.why_not(job, order)
        if job is None or why_not is not None:
            judged.why_not[job_id] = why_not or ""
        else:
            judged.jobs.append(job)


async def _ask_for(store: Store, row: "Act", order: "Order", jobs: Sequence["JobRow"]) -> None:
    """Requests and audit in one transaction; the relay sends them at once."""
    from panda_fsm.effects import Outgoing

    messages = [Outgoing.of(message) for message in row.messages(jobs, order)]
    ids = [job.job_id for job in jobs]
    audit = about_jobs(order.actor_key, order.actor, row.audited_as, ids, row.detail(order))
    await store.requests.keep(messages, (), [audit])
    await store.requests.leave([message.message_id for message in messages])


def _portions(items: Sequence[Any]) -> Iterator[list[Any]]:
    rest = iter(items)
    while portion := list(islice(rest, _AT_ONCE)):
        yield portion


def _tell(judged: Judged, order: "Order", yes: bool, as_json: bool) -> None:
    if as_json:
        terminal.say_json(judged.as_json(order.act, yes))
        return
    states = Counter(str(job.state) for job in judged.jobs)
    rows = [("would", state, jobs) if not yes else ("asked for", state, jobs) for state, jobs in states.items()]
    rows += [("not", why, jobs) for why, jobs in Counter(judged.why_not.values()).most_common(_EXAMPLES)]
    terminal.show((order.act, "state, or why not", "jobs"), rows)
    if judged.jobs and not yes:
        terminal.aside("nothing was done yet: --yes does it")
