"""`panda-fsm jobs`: jobs are found, looked at, and acted on."""

from typing import Annotated, Any

import typer

from command import lists, look
from command.terminal import AsJson
from panda_fsm.jobs.states import State

app = typer.Typer(help="Jobs, live and archived.", no_args_is_help=True)
app.command()(look.show)

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

    asked = {
        "state": state and state.value, "site": site, "vo": vo, "task": task, "user": user, "code": code,
        "since": since, "until": until, "after": after, "limit": limit,
    }  # fmt: skip
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
