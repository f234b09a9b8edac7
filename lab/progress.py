"""Shows the way of a task's jobs through their states: a live view in a terminal, plain lines elsewhere."""

from __future__ import annotations

import json
import time
import urllib.request
from dataclasses import dataclass, field
from types import TracebackType

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State

BAR_WIDTH = 40
PLAIN_INTERVAL_S = 5.0
HOPS_SHOWN = 8
ALWAYS_SHOWN = (
    State.ASSIGNED,
    State.ACTIVATED,
    State.STARTING,
    State.RUNNING,
    State.HOLDING,
    State.TRANSFERRING,
    State.FINISHED,
)
COLOURS = {
    State.FINISHED: "green",
    State.FAILED: "red",
    State.CLOSED: "red",
    State.CANCELLED: "red",
    State.RUNNING: "bright_cyan",
    State.STARTING: "cyan",
    State.SENT: "cyan",
    State.ACTIVATED: "yellow",
}
# What goes on while jobs are in a state, told in the order of a job's life.
HAPPENING = {
    State.DEFINED: "{n} being set up",
    State.WAITING: "{n} waiting for inputs that are nowhere",
    State.ASSIGNED: "{n} waiting for inputs on their way to storage B",
    State.ACTIVATED: "{n} ready for a pilot",
    State.SENT: "{n} just handed out",
    State.STARTING: "{n} staging in",
    State.RUNNING: "{n} computing",
    State.HOLDING: "{n} having outputs registered",
    State.TRANSFERRING: "{n} with outputs on their way home to storage A",
    State.MERGING: "{n} waiting for their outputs to be merged",
}


@dataclass(frozen=True)
class Hop:
    """Time that jobs spent in a state before they took this transition."""

    n: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(frozen=True)
class Snapshot:
    """Jobs per state and latencies per transition at one moment."""

    states: dict[str, int] = field(default_factory=dict)
    hops: dict[str, Hop] = field(default_factory=dict)

    def count(self, state: State) -> int:
        """Jobs in that state."""
        return self.states.get(state, 0)

    @property
    def final(self) -> int:
        """Jobs that have come to their end."""
        return sum(self.count(state) for state in FINAL)

    def with_states_of(self, other: Snapshot) -> Snapshot:
        """The jobs of both, and the latencies of these."""
        states = {state: self.states.get(state, 0) + other.states.get(state, 0) for state in self.states | other.states}
        return Snapshot(states, self.hops)


def fetch_snapshot(url: str, task_id: int | None = None) -> Snapshot:
    """What the gateway says of one task, or of all jobs; raises OSError when it does not answer."""
    query = "" if task_id is None else f"?task_id={task_id}"
    address = f"{url}/api/v1/statistics/job_states{query}"
    with urllib.request.urlopen(address, timeout=10) as response:
        data = json.load(response)["data"]
    return Snapshot(data["states"], {name: Hop(**hop) for name, hop in data["hops"].items()})


class Progress:
    """A view that `show` brings up to date; leaves its last state on the screen."""

    def __init__(self, console: Console, title: str, total: int) -> None:
        self._console, self._title, self._total = console, title, total
        self._began = time.monotonic()
        self._live = Live(console=console, auto_refresh=False) if console.is_terminal else None
        self._said, self._said_at = "", -PLAIN_INTERVAL_S

    def show(self, snapshot: Snapshot, pilots: int) -> None:
        """Draws the view, or says a line if something changed since the last one."""
        if self._live is not None:
            self._live.update(self._view(snapshot, pilots), refresh=True)
            return
        line, elapsed = _plain(snapshot), time.monotonic() - self._began
        due = elapsed - self._said_at >= PLAIN_INTERVAL_S or snapshot.final == self._total
        if line != self._said and due:
            self._said, self._said_at = line, elapsed
            self._console.print(f"{elapsed:5.0f} s  {line}", highlight=False, soft_wrap=True)

    def _view(self, snapshot: Snapshot, pilots: int) -> RenderableType:
        elapsed = time.monotonic() - self._began
        done = f"{snapshot.final}/{self._total} jobs done"
        head = Text.assemble((self._title, "bold"), f"   {done}   {pilots} pilots   {elapsed:.0f} s")
        now = Text(happening(snapshot), style="italic")
        parts: list[RenderableType] = [head, now, Text(), _state_bars(snapshot, self._total)]
        return Group(*parts, Text(), hop_table(snapshot.hops)) if snapshot.hops else Group(*parts)

    def __enter__(self) -> Progress:
        if self._live is not None:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._live is not None:
            self._live.stop()


def happening(snapshot: Snapshot) -> str:
    """One sentence on what goes on now."""
    counts = [(text, snapshot.count(state)) for state, text in HAPPENING.items()]
    return "; ".join(text.format(n=n) for text, n in counts if n) or "nothing left to do"


def hop_table(hops: dict[str, Hop]) -> Table:
    """Where the time goes: the slowest transitions, in the order of a job's life."""
    slowest = sorted(hops, key=lambda name: hops[name].p50_ms, reverse=True)[:HOPS_SHOWN]
    longest = max((hops[name].p50_ms for name in slowest), default=0.0)
    table = Table("where the time goes", "jobs", "p50", "p95", "", box=None, pad_edge=False, header_style="dim")
    for column in table.columns[1:4]:
        column.justify = "right"
    for name in sorted(slowest, key=_life_order):
        hop = hops[name]
        bar = _bar(hop.p50_ms, longest, BAR_WIDTH // 2)
        table.add_row(name, str(hop.n), duration(hop.p50_ms), duration(hop.p95_ms), Text(bar, style="blue"))
    return table


def duration(milliseconds: float) -> str:
    """The time in the unit that suits it."""
    return f"{milliseconds:.0f} ms" if milliseconds < 1000 else f"{milliseconds / 1000:.1f} s"


def _state_bars(snapshot: Snapshot, total: int) -> Table:
    """One bar per state, in the order of a job's life; rare states only while jobs are in them."""
    table = Table(box=None, show_header=False, pad_edge=False)
    for width in (max(map(len, State)), len(str(total)), BAR_WIDTH):
        table.add_column(min_width=width)
    for state in State:
        count = snapshot.count(state)
        if count or state in ALWAYS_SHOWN:
            bar = Text(_bar(count, total, BAR_WIDTH), style=COLOURS.get(state, "blue"))
            table.add_row(Text(state, style="" if count else "dim"), str(count) if count else "", bar)
    return table


def _bar(value: float, whole: float, width: int) -> str:
    """At least one cell for what is not nothing."""
    return "━" * max(round(width * value / whole), 1) if value and whole else ""


def _plain(snapshot: Snapshot) -> str:
    return ", ".join(f"{state} {snapshot.count(state)}" for state in State if snapshot.count(state))


def _life_order(hop: str) -> list[int]:
    """Places of both ends of the transition among the states."""
    order = {state.value: place for place, state in enumerate(State)}
    return [order.get(end, -1) for end in hop.split("→")]
