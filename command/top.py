"""`panda-fsm top`: the flow, the queues and what is not well on a screen of its own, every two seconds."""

import asyncio
import sys
import termios
import tty
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import typer
from rich.console import Group, RenderableType
from rich.live import Live
from rich.text import Text

from command import asking, terminal
from panda_fsm.views import words

if TYPE_CHECKING:
    from panda_fsm.views.queues import QueueNow

PERIOD_S = 2.0
_MINUTES = 5
_QUEUES = 10
_TROUBLES = 8
_TONES = {"bad": "red", "warn": "yellow"}


def top() -> None:
    """Show the flow, the queues and what is not well, until q or Ctrl-C. Only on a terminal."""
    if not (terminal.CONSOLE.is_terminal and sys.stdin.isatty()):
        terminal.aside("top needs a terminal: `panda-fsm status` says it once")
        raise typer.Exit(2)
    try:
        with _keys(), Live(Text("looking"), console=terminal.CONSOLE, screen=True, auto_refresh=False) as live:
            asking.ask(lambda store: _watch(store, live))
    except KeyboardInterrupt:
        raise typer.Exit(0) from None


@contextmanager
def _keys() -> Iterator[None]:
    """Each key is heard at once."""
    before = termios.tcgetattr(sys.stdin)
    try:
        tty.setcbreak(sys.stdin)
        yield
    finally:
        termios.tcsetattr(sys.stdin, termios.TCSADRAIN, before)


async def _watch(store: asking.Store, live: Live) -> None:
    over = asyncio.Event()

    def heard() -> None:
        if sys.stdin.read(1) in ("q", "Q", ""):
            over.set()

    asyncio.get_running_loop().add_reader(sys.stdin, heard)
    while not over.is_set():
        live.update(await view(store), refresh=True)
        try:
            await asyncio.wait_for(over.wait(), PERIOD_S)
        except TimeoutError:
            continue


async def view(store: asking.Store) -> RenderableType:
    """What is on the screen; what cannot be looked at is said there, and looked for again."""
    from panda_fsm.errors import PandaError

    head = Text.assemble(("panda-fsm", "bold"), f"  {datetime.now(UTC):%H:%M:%S} UTC  ", ("q ends it", "dim"))
    try:
        return Group(head, *await _parts(store))
    except PandaError as error:
        return Group(head, terminal.literal(str(error), "red"))


async def _parts(store: asking.Store) -> list[RenderableType]:
    from command.compose import NAMES
    from panda_fsm.views.health import troubles
    from panda_fsm.views.pipeline import flow_view

    reads = store.dashboards
    flow = flow_view(await reads.flow.flow(minutes=_MINUTES), await reads.flow.states(), await reads.flow.series())
    stages = [(one.name, one.count, words.rate(one.rate), one.note) for one in flow.stages]
    ended = "   ".join(f"{one.name} {words.rate(one.per_s)} ({words.share(one.share)})" for one in flow.ended)
    queues = sorted(await reads.queues.now(), key=lambda one: (one.level == "ok", -(one.ready or 0)))[:_QUEUES]
    wrong = [one.says for one in troubles(await reads.health.now(), NAMES)][:_TROUBLES]
    return [
        terminal.table(("state", "jobs", "leave it", "note"), stages),
        Text(f"{ended}   over {words.duration(flow.seconds)}"),
        terminal.table(("queue", "ready", "oldest", "in", "out", "state"), [_queue(one) for one in queues]),
        *(terminal.literal(sentence, "red") for sentence in wrong),
        Text("" if wrong else "all is well", "green"),
    ]


def _queue(one: "QueueNow") -> tuple[object, ...]:
    oldest = words.duration(one.oldest_s)
    word = terminal.literal(one.word, _TONES.get(one.level, ""))
    return one.name, one.ready, oldest, words.rate(one.in_per_s), words.rate(one.out_per_s), word
