"""`panda-fsm sites`: how the PanDA queues do where jobs run, one of them with what fails, and how one is paused."""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from command import lists, terminal
from command.acting import Actor
from command.queues import Hours, Reason, request_pause
from command.terminal import AsJson
from panda_fsm.views import words


class OrShow(TyperGroup):
    """What is no command is the name of a queue, to be shown."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        is_name = bool(args) and args[0] not in self.commands
        return super().resolve_command(ctx, ["show", *args] if is_name else args)


app = typer.Typer(cls=OrShow, help="PanDA queues at work: `sites QUEUE` shows one of them.")
Name = Annotated[str, typer.Argument(metavar="QUEUE", help="a PanDA queue, as `panda-fsm sites` names it")]


@app.callback(invoke_without_command=True)
def sites(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what pilots ask at each PanDA queue and get, how its jobs end, and what is wrong; the worst first."""
    from gateway.dashboard.sites import PAGE

    if context.invoked_subcommand is None:
        lists.tell(lists.look(PAGE, {}), _OF_SITES, as_json)


@app.command()
def show(name: Name, as_json: AsJson = False) -> None:
    """Show one: its jobs by state, worker nodes, errors of a day; what is known of it: `panda-fsm queues show`."""
    from gateway.dashboard.sites import ONE

    _one_site(lists.look(ONE, {}, name), as_json)


@app.command()
def pause(name: Name, reason: Reason, actor: Actor, hours: Hours = None) -> None:
    """Give its pilots no more jobs, for a while; what runs goes on."""
    until = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    request_pause("site", name, is_paused=True, reason=reason, until=until, actor=actor)


@app.command()
def resume(name: Name, actor: Actor, reason: Reason = "") -> None:
    """Give its pilots jobs again."""
    request_pause("site", name, is_paused=False, reason=reason, actor=actor)


_OF_SITES: tuple[lists.Column[Any], ...] = (
    ("queue", lambda row: row.name),
    ("how it is", lambda row: row.state),
    ("running", lambda row: row.running),
    ("activated", lambda row: row.activated),
    ("transferring", lambda row: row.transferring),
    ("asks/min", lambda row: round(row.asks_per_min, 1)),
    ("jobs/min", lambda row: round(row.jobs_per_min, 1)),
    ("finished", lambda row: row.finished),
    ("failed", lambda row: row.failed),
    ("share", lambda row: "" if row.failed_share is None else words.share(row.failed_share)),
    ("top error", lambda row: row.top_error),
)


def _one_site(found: Any, as_json: bool) -> None:
    if as_json:
        lists.tell_json(found)
        return
    lists.show([found.site], _OF_SITES)
    terminal.show(("state", "jobs"), list(found.states), "jobs")
    nodes = ([one.node, one.finished, one.failed] for one in found.nodes)
    terminal.show(("node", "finished", "failed"), nodes, "worker nodes")
    terminal.show(
        ("error", "jobs", "said last"), ([one.label, one.jobs, one.sample] for one in found.errors), "errors of a day"
    )
