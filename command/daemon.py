"""`panda-fsm daemon`: what the daemon does by time and how that went; a duty is run now, paused, or goes on."""

import time
from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from command import asking, lists, terminal
from command.acting import Actor
from command.settings import settings
from command.terminal import AsJson
from panda_fsm.views import words

if TYPE_CHECKING:
    from panda_fsm.views.duties import DutyNow
    from sql.daemon_wishes import Answer, DaemonWishes, Wish

app = typer.Typer(help="The PanDA daemon: its duties, when they ran last and how that went.", no_args_is_help=True)
Name = Annotated[str, typer.Argument(metavar="DUTY", help="such as archive, as `panda-fsm daemon status` names it")]
_COLUMNS = ("duty", "how often", "last run", "result", "took", "next", "runs", "failed", "what")
_LOOK_S = 0.2


@app.command()
def status(as_json: AsJson = False) -> None:
    """Show each duty with its last run; exit code 1 when one failed last or has not run for long, or there is none.

    A duty that is paused is well. Runs and failures are those of this hour and the one before.
    """
    from panda_fsm.views.duties import DutiesNow

    found: DutiesNow = asking.ask(lambda store: store.dashboards.system.duties())
    if as_json:
        lists.tell_json(found)
    else:
        terminal.show(_COLUMNS, [_cells(one) for one in found.rows])
        if not found.rows:
            terminal.say("no daemon has run here yet: `panda-fsm serve daemon`", "yellow")
    raise typer.Exit(1 if not found.rows or any(one.level != "ok" for one in found.rows) else 0)


@app.command()
def run(
    name: Name,
    actor: Actor,
    wait: Annotated[bool, typer.Option("--wait", help="wait for its end; exit code 1 when it did not do well")] = False,
    limit_s: Annotated[float, typer.Option("--for", min=0.1, help="wait no longer than so many seconds")] = 600,
    as_json: AsJson = False,
) -> None:
    """Have a duty run now, on every machine that does it, also while it is paused; of one that must be alone, one run.

    Exit code 3 when nobody did so in time.
    """
    wishes = _wishes()
    try:
        wish = wishes.ask(name, actor)
        answers = _answers(wishes, wish, limit_s) if wait else []
    finally:
        wishes.close()
    if as_json:
        terminal.say_json({"name": wish.name, "asked_at": wish.asked_at.isoformat(), "runs": _plain(answers)})
    else:
        _say(wish, answers, wait=wait)
    if wait and not answers:
        raise typer.Exit(3)
    raise typer.Exit(1 if any(answer.outcome != "done" for answer in answers) else 0)


@app.command()
def pause(name: Name, reason: Annotated[str, typer.Option(help="why; others will ask")], actor: Actor) -> None:
    """Have no daemon begin it any more, until `resume`; a slice in hand is finished."""
    if not reason.strip():
        raise typer.BadParameter("say why it is paused: others will ask")
    wishes = _wishes()
    try:
        wishes.pause(name, actor, terminal.harmless(reason).strip()[:500])
    finally:
        wishes.close()
    terminal.say(f"{name} is paused; what waits for it waits until `panda-fsm daemon resume {name}`")


@app.command()
def resume(name: Name, actor: Actor) -> None:
    """Have it go on, at once where it is due."""
    wishes = _wishes()
    try:
        wishes.resume(name, actor)
    finally:
        wishes.close()
    terminal.say(f"{name} goes on")


def _wishes() -> "DaemonWishes":
    from sql.daemon_wishes import DaemonWishes

    return DaemonWishes(settings().database_url)


def _answers(wishes: "DaemonWishes", wish: "Wish", limit_s: float) -> "list[Answer]":
    """One where it must be alone, else one of each machine."""
    until = time.monotonic() + limit_s
    while True:
        found = wishes.answers(wish)
        if found and (wish.is_alone or len({answer.host for answer in found}) >= wishes.daemons()):
            return found
        if time.monotonic() > until:
            return found
        time.sleep(_LOOK_S)


def _say(wish: "Wish", answers: "Sequence[Answer]", *, wait: bool) -> None:
    paused = ", though it is paused" if wish.is_paused else ""
    if not wait:
        terminal.say(f"{wish.name} is asked to run{paused}: `panda-fsm daemon status` says how it went")
    elif not answers:
        terminal.say(f"no daemon ran {wish.name} in time: does one live, and has it a worker left?", "red")
    for answer in answers:
        took = f"{words.counted(answer.slices, 'slice')}, {words.duration(answer.seconds)}"
        error = f": {answer.error}" if answer.error else ""
        well = answer.outcome == "done"
        terminal.say(f"{answer.host}: {answer.outcome} ({took}){error}", "green" if well else "red")


def _plain(answers: "Sequence[Answer]") -> list[dict[str, Any]]:
    return [asdict(answer) for answer in answers]


def _cells(one: "DutyNow") -> Sequence[Any]:
    last = (
        "running"
        if one.running_s is not None
        else f"{words.duration(one.ago_s)} ago"
        if one.ago_s is not None
        else "never"
    )
    return (
        one.name, one.spoken, last, one.word, words.duration(one.seconds),
        "paused" if one.paused_at else words.duration(one.next_s), one.runs, one.failures, one.says,
    )  # fmt: skip
