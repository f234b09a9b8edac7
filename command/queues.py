"""`panda-fsm queues` and `panda-fsm workers`: what waits, who takes it, who is alive; and how a queue is paused."""

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command import asking, lists, terminal
from command.acting import Actor
from command.settings import settings
from command.terminal import AsJson
from panda_fsm.views import words

if TYPE_CHECKING:
    from gateway.dashboard.queues import QueuesView
    from panda_fsm.descriptions import AuditRow
    from panda_fsm.messages import SetPause
    from panda_fsm.views.queues import QueueNow
    from panda_fsm.views.workers import WorkerNow

app = typer.Typer(
    help="Alone: the BROKER's queues, in which messages wait; pause and resume are theirs. All other commands are about"
    " PANDA queues, at which jobs run, and what is known of these; how they do: `panda-fsm sites`."
)
BROKERS, PANDAS = "The broker's queues (messages)", "PanDA queues (jobs)"
Name = Annotated[str, typer.Argument(metavar="QUEUE", help="such as adder, as `panda-fsm queues` names it")]
Reason = Annotated[str, typer.Option(help="why; others will ask")]
Hours = Annotated[float | None, typer.Option(min=0.01, max=10_000, help="end the pause by itself after so many hours")]
_COLUMNS = ("queue", "state", "ready", "oldest", "in", "out", "empty in", "in hand", "processes", "what")
_OF_WORKERS = (
    "service", "state", "host", "pid", "up", "sign", "handled", "rate", "in hand", "since", "version", "trouble",
)  # fmt: skip


@app.callback(invoke_without_command=True)
def queues(context: typer.Context, as_json: AsJson = False) -> None:
    """Show what waits in the broker's queues, how old the oldest is, who takes it; exit code 1 when one is not well.

    A queue that is paused is well.
    """
    if context.invoked_subcommand is not None:
        return
    found = asking.ask(_queues)
    if as_json:
        lists.tell_json(found)
    else:
        terminal.show(_COLUMNS, [_cells(one) for one in found.rows])
    raise typer.Exit(1 if any(one.level != "ok" and one.pause is None for one in found.rows) else 0)


@app.command(rich_help_panel=BROKERS)
def pause(name: Name, reason: Reason, actor: Actor, hours: Hours = None) -> None:
    """Have its services take no more messages; they finish what they hold, and the messages stay in the broker."""
    until = None if hours is None else datetime.now(UTC) + timedelta(hours=hours)
    request_pause("queue", name, is_paused=True, reason=reason, until=until, actor=actor)


@app.command(rich_help_panel=BROKERS)
def resume(name: Name, actor: Actor, reason: Reason = "") -> None:
    """Have its services take messages again."""
    request_pause("queue", name, is_paused=False, reason=reason, actor=actor)


def workers(as_json: AsJson = False) -> None:
    """Show every process, what it has done and has in hand; exit code 1 when one is not well or none serves a queue."""
    from command.compose import NAMES
    from panda_fsm.views.workers import workers as judged

    found = judged(asking.ask(lambda store: store.dashboards.workers.now()), NAMES)
    if as_json:
        lists.tell_json(found)
    else:
        terminal.show(_OF_WORKERS, [_of_worker(one) for one in found.rows])
        if found.missing:
            terminal.say(f"nobody serves {', '.join(found.missing)}", "red")
        if len(found.programs) > 1:
            terminal.say(f"versions side by side: {', '.join(found.programs)}", "yellow")
    raise typer.Exit(0 if found.is_well else 1)


def request_pause(kind: str, name: str, *, actor: str, **wanted: Any) -> None:
    """Keep the request with its audit row; the relay sends it. Raises BadParameter for what cannot be paused."""
    from command import sites
    from command.compose import QUEUES
    from panda_fsm.messages import SetPause
    from panda_fsm.pausing import audited, refusal

    try:
        request = SetPause(kind=kind, name=name, actor=actor, **wanted)  # type: ignore[arg-type]  # it is looked at
    except ValueError as error:
        raise typer.BadParameter(_complaint(error)) from None
    why_not = refusal(request, QUEUES, sites.now(settings()).queues if kind == "site" else ())
    if why_not is not None:
        raise typer.BadParameter(why_not)
    audit = audited(request, actor, by="command line")
    asking.ask(lambda store: _keep(store, request, audit))
    what = "is asked to pause" if request.is_paused else "is asked to go on"
    terminal.say(f"{kind} {name} {what}: it follows within seconds, once the relay has sent that")


async def _keep(store: asking.Store, request: "SetPause", audit: "AuditRow") -> None:
    """Both in one transaction; the relay sends the request at once."""
    from panda_fsm.effects import Outgoing

    await store.requests.keep([Outgoing.of(request)], (), [audit])
    await store.requests.leave([request.message_id])


async def _queues(store: asking.Store) -> "QueuesView":
    from gateway.dashboard.queues import QueuesView

    queues = store.dashboards.queues
    return QueuesView(tuple(await queues.now()), tuple(await queues.pauses()))


def _cells(one: "QueueNow") -> Sequence[Any]:
    readers = {"service": f"{one.alive} of {one.known}", "jedi": words.counted(one.consumers, "reader"), "broker": ""}
    age = words.duration(one.oldest_s)
    rates = words.rate(one.in_per_s), words.rate(one.out_per_s)
    older = "> " if one.was_there and one.ready else ""
    figures = (one.ready, f"{older}{age}", *rates, words.duration(one.drain_s), one.in_hand)
    return one.name, one.word, *figures, readers[one.reader], one.says


def _of_worker(one: "WorkerNow") -> Sequence[Any]:
    ages = words.duration(one.up_s), words.duration(one.silent_s)
    work = one.handled, words.rate(one.per_s), one.in_hand, words.duration(one.in_hand_s)
    return one.service, one.standing, one.host, one.pid, *ages, *work, one.program, one.trouble


def _complaint(error: ValueError) -> str:
    from pydantic import ValidationError

    from panda_fsm.errors import complaint

    return complaint(error) if isinstance(error, ValidationError) else str(error)
