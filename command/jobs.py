"""`panda-fsm jobs`: jobs are found, looked at, and acted on."""

from typing import Annotated, Any

import typer

from command import acting, lists, look
from command.terminal import AsJson
from panda_fsm.jobs.states import State

app = typer.Typer(help="Jobs, live and archived.", no_args_is_help=True)
app.command()(look.show)
app.command()(look.why)

InState = Annotated[State | None, typer.Option(help="only those in this state")]
Site = Annotated[str | None, typer.Option(metavar="QUEUE", help="only those at this PanDA queue")]
OfVo = Annotated[str | None, typer.Option("--vo", help="only those of this experiment")]
Task = Annotated[int | None, typer.Option(min=0, max=2**63 - 1, help="only those of this jediTaskID")]
User = Annotated[str | None, typer.Option(help="only those of this user, by name")]
Code = Annotated[str | None, typer.Option(help="only those with this error: its number, or pilot:1151")]
Since = Annotated[str | None, typer.Option(help="in their state, or ended, since then: 30min, 1h, 7d, a time in UTC")]
Until = Annotated[str | None, typer.Option(help="in their state, or ended, before then")]


@app.command("ls")
def ls(
    state: InState = None, site: Site = None, vo: OfVo = None, task: Task = None, user: User = None,
    code: Code = None, since: Since = None, until: Until = None, after: lists.After = None,
    limit: lists.Limit = 50, as_json: AsJson = False,
) -> None:  # fmt: skip
    """List jobs, live ones before archived ones, the newest first."""
    from gateway.dashboard.jobs import PAGE
    from panda_fsm.views import words

    asked = _filters(state, site, vo, task, user, code, since, until) | {"after": after, "limit": limit}
    columns: tuple[lists.Column[Any], ...] = (
        ("job", lambda job: job.job_id),
        ("state", lambda job: job.state),
        ("since", lambda job: words.moment(job.since)),
        ("queue", lambda job: job.site),
        ("task", lambda job: job.task_id),
        ("user", lambda job: job.user_name),
        ("name", lambda job: job.name),
        ("node", lambda job: job.node),
        ("error", lambda job: job.error),
    )
    lists.tell(lists.look(PAGE, asked), columns, as_json)


@app.command()
def kill(
    reason: acting.Reason, actor: acting.Actor, ids: acting.Ids = None,
    code: Annotated[int, typer.Option(min=0, max=999, help="91 by their pilots, 99 at once, 2 to be made anew")] = 91,
    state: InState = None, site: Site = None, vo: OfVo = None, task: Task = None, user: User = None,
    error: Annotated[str | None, typer.Option(help="only those with this error")] = None,
    since: Since = None, until: Until = None, yes: acting.Yes = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """End jobs, by PandaID or by filters; without --yes only say with which it can be done, and why not with others."""
    from panda_fsm.jobs.acts import Order

    asked = _filters(state, site, vo, task, user, error, since, until)
    acting.act(Order("kill", actor, f"local:{actor}", reason, code=code), ids, asked, yes, as_json)


@app.command()
def reassign(
    reason: acting.Reason, actor: acting.Actor, ids: acting.Ids = None, state: InState = None, site: Site = None,
    vo: OfVo = None, task: Task = None, user: User = None, since: Since = None, until: Until = None,
    yes: acting.Yes = False, as_json: AsJson = False,
) -> None:  # fmt: skip
    """Set jobs up anew that no pilot has had yet, or let pending ones go; without --yes only say with which."""
    from panda_fsm.jobs.acts import Order

    asked = _filters(state, site, vo, task, user, None, since, until)
    acting.act(Order("reassign", actor, f"local:{actor}", reason), ids, asked, yes, as_json)


def _filters(
    state: State | None, site: str | None, vo: str | None, task: int | None, user: str | None, code: str | None,
    since: str | None, until: str | None,
) -> dict[str, Any]:  # fmt: skip
    """As the page names them."""
    return {
        "state": state and state.value, "site": site, "vo": vo, "task": task, "user": user, "code": code,
        "since": since, "until": until,
    }  # fmt: skip
