"""How queues do: what pilots ask and get there, how jobs end, and in a word what is wrong."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from panda_fsm.jobs.states import State
from panda_fsm.pausing import Pause
from panda_fsm.views import words
from panda_fsm.views.errors import ErrorRow, whose
from panda_fsm.views.flow import HopNow, Series
from panda_fsm.views.information import FactChange, QueueFacts, Rejected, SourceNow, StorageFacts

MINUTES = 60
"""Asks and ends are those of the last hour."""
_LEAST = 20
"""Of fewer jobs or asks nothing is said."""
_FAILING, _MANY_FAIL = 0.15, 0.05
_SILENT_S = 1800
_IN_VAIN = 0.9
LEAST_ON_A_NODE = 10
_BLACK_HOLE = 0.6
_TONES = {"bad": 0, "warn": 1, "ok": 2, "": 3}


@dataclass(frozen=True, slots=True)
class NodeRow:
    """How jobs ended on a worker node in the last hour."""

    node: str
    finished: int
    failed: int

    @property
    def share(self) -> float:
        """Of its jobs, those that failed."""
        return self.failed / max(1, self.finished + self.failed)


@dataclass(slots=True)
class SiteCounts:
    """What is counted of a queue.

    `status`: what counts now, None: nobody knows it; `silent_s`: since a pilot asked last, None: none did in a
    week. `nodes` are those on which many failed; `errors` by component and code.
    """

    name: str
    status: str | None = None
    is_paused: bool = False
    states: Mapping[str, int] = field(default_factory=dict)
    asks: int = 0
    jobs: int = 0
    empty: int = 0
    silent_s: float | None = None
    finished: int = 0
    failed: int = 0
    stopped: int = 0
    given: int = 0
    waited_s: float = 0.0
    nodes: tuple[NodeRow, ...] = ()
    errors: Mapping[tuple[str, int], int] = field(default_factory=dict)

    @property
    def failed_share(self) -> float | None:
        """Of the jobs that ran to their end."""
        ran = self.finished + self.failed
        return self.failed / ran if ran else None

    @property
    def in_vain(self) -> float | None:
        """Of the answers to pilots those without a job."""
        return min(1.0, self.empty / self.asks) if self.asks else None


@dataclass(frozen=True, slots=True)
class SiteRow:
    """A queue: counts are of the last hour, `waited_s` is how long jobs were activated before a pilot took them."""

    name: str
    status: str | None
    tone: str
    state: str
    running: int
    activated: int
    transferring: int
    asks_per_min: float
    jobs_per_min: float
    no_job_share: float | None
    finished: int
    failed: int
    failed_share: float | None
    waited_s: float | None
    silent_s: float | None
    top_error: str


@dataclass(frozen=True, slots=True)
class SitesView:
    """All queues, the worst first, and where what is known of them comes from."""

    rows: tuple[SiteRow, ...]
    is_cut: bool = False
    sources: tuple[SourceNow, ...] = ()


@dataclass(frozen=True, slots=True)
class AskRow:
    """Pilots of a kind: what they could take, of None as much as there is."""

    filters: Mapping[str, object]
    silent_s: float
    asks: int
    jobs: int

    @property
    def told(self) -> str:
        """The filters in words."""
        said = (f"{name.replace('_', ' ')} {_word(value)}" for name, value in self.filters.items() if value)
        return ", ".join(said) or "anything"


@dataclass(frozen=True, slots=True)
class SiteView:
    """One queue: how it does, its hops (`rows`), what fails and where, who asks, what is known of it, who changed that.

    `settings`: what its pilots read. `facts`: None, nobody knows it.
    """

    site: SiteRow
    pause: Pause | None
    states: tuple[tuple[str, int], ...]
    series: Series
    errors: tuple[ErrorRow, ...]
    nodes: tuple[NodeRow, ...]
    asks: tuple[AskRow, ...]
    facts: QueueFacts | None
    storages: tuple[StorageFacts, ...]
    history: tuple[FactChange, ...]
    rejected: tuple[Rejected, ...]
    settings: tuple[tuple[str, str], ...]
    rows: tuple[HopNow, ...]


def _word(value: object) -> str:
    if isinstance(value, list | tuple):
        return " or ".join(map(str, value))
    return words.number(value) if isinstance(value, int) and not isinstance(value, bool) else str(value)


def site_row(counts: SiteCounts) -> SiteRow:
    """The queue with its state in words."""
    tone, state = next(_judgements(counts))
    top = max(counts.errors, key=lambda error: counts.errors[error], default=None)
    return SiteRow(
        counts.name, counts.status, tone, state,
        counts.states.get(State.RUNNING, 0), counts.states.get(State.ACTIVATED, 0),
        counts.states.get(State.TRANSFERRING, 0), counts.asks / MINUTES, counts.jobs / MINUTES, counts.in_vain,
        counts.finished, counts.failed, counts.failed_share, counts.waited_s / counts.given if counts.given else None,
        counts.silent_s, f"{top[0]}:{top[1]}" if top and top[0] else "",
    )  # fmt: skip


def worst_first(rows: Iterable[SiteRow]) -> tuple[SiteRow, ...]:
    """What needs somebody comes first."""
    return tuple(sorted(rows, key=lambda row: (_TONES[row.tone], -row.failed, -row.activated, row.name)))


def _judgements(counts: SiteCounts) -> Iterator[tuple[str, str]]:
    """Tone and words of what is wrong, the worst first; the last is always there."""
    if counts.is_paused:
        yield "warn", "paused"
    hole = _black_hole(counts)
    if hole is not None:
        yield "bad" if (counts.failed_share or 0) >= _FAILING else "warn", f"black hole {hole.node}"
    if counts.finished + counts.failed >= _LEAST and (counts.failed_share or 0) >= _MANY_FAIL:
        is_bad = (counts.failed_share or 0) >= _FAILING
        blamed = _blamed(counts)
        yield "bad" if is_bad else "warn", f"{'failing' if is_bad else 'many fail'}{f': {blamed}' if blamed else ''}"
    waits = counts.states.get(State.ACTIVATED, 0)
    is_silent = counts.silent_s is None or counts.silent_s >= _SILENT_S
    if waits and is_silent and counts.status != "offline":
        silent = "" if counts.silent_s is None else f" {words.duration(counts.silent_s)}"
        yield "warn", f"no pilots{silent}"
    if waits and counts.asks >= _LEAST and not counts.jobs and (counts.in_vain or 0) >= _IN_VAIN:
        yield "warn", "no job fits its pilots"
    if counts.status == "offline":
        yield "", "offline"
    if counts.asks or counts.states.get(State.RUNNING, 0):
        yield "ok", "good"
    yield "", "idle"


def _blamed(counts: SiteCounts) -> str:
    """Whose errors they mostly are; nobody's where no component has half of them."""
    of: dict[str, int] = {}
    for (component, code), jobs in counts.errors.items():
        of[whose(component, code)] = of.get(whose(component, code), 0) + jobs
    most = max(of, key=lambda name: of[name], default="")
    return most if most and 2 * of[most] >= sum(of.values()) else ""


def _black_hole(counts: SiteCounts) -> NodeRow | None:
    """The node that swallows jobs while they end well elsewhere."""
    for node in sorted(counts.nodes, key=lambda node: -node.failed):
        rest = NodeRow("", max(0, counts.finished - node.finished), max(0, counts.failed - node.failed))
        if node.failed >= LEAST_ON_A_NODE and node.share >= _BLACK_HOLE and rest.share < node.share / 2:
            return node
    return None
