"""The picture of the flow: the states of a job's life with what is in them, what leaves them, and where it piles up."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.views import words
from panda_fsm.views.flow import FlowNow, HopNow, Series

_ALWAYS = (State.DEFINED, State.ASSIGNED, State.ACTIVATED, State.SENT, State.RUNNING, State.HOLDING, State.TRANSFERRING)
"""Other states are shown when jobs are in them."""
_LIVE = tuple(state for state in State if state not in FINAL)


@dataclass(frozen=True, slots=True)
class Stage:
    """A state: how many jobs are in it, how many a second leave it, and what is wrong there."""

    name: str
    count: int
    rate: float | None
    tone: str
    note: str


@dataclass(frozen=True, slots=True)
class Ended:
    """How many jobs a second ended so, and which part of all that ended they are."""

    name: str
    per_s: float
    share: float | None


@dataclass(frozen=True, slots=True)
class FlowView:
    """The page: the pipeline, how jobs ended, and each hop (`rows`)."""

    as_of: datetime
    behind_s: float
    seconds: float
    stages: tuple[Stage, ...]
    ended: tuple[Ended, ...]
    series: Series
    rows: tuple[HopNow, ...]

    @property
    def worse(self) -> tuple[HopNow, ...]:
        """Hops that are slower than a week ago, the worst first."""
        return tuple(sorted((hop for hop in self.rows if hop.is_worse), key=lambda hop: -(hop.factor or 0)))


def flow_view(flow: FlowNow, states: Mapping[str, int], series: Series) -> FlowView:
    """The page of what was counted."""
    stages = tuple(
        _stage(flow, state, states.get(state, 0))
        for state in _LIVE
        if state in _ALWAYS or states.get(state) or flow.into(state) or flow.out_of(state)
    )
    return FlowView(flow.as_of, flow.behind_s, flow.seconds, (*stages, _last(flow, states)), ended(flow), series,
                    flow.hops)  # fmt: skip


def ended(flow: FlowNow) -> tuple[Ended, ...]:
    """How jobs ended: well first."""
    rates = {state: flow.into(state) for state in (State.FINISHED, State.FAILED, State.CLOSED, State.CANCELLED)}
    total = sum(rates.values())
    return tuple(Ended(state, rate, rate / total if total else None) for state, rate in rates.items())


def _stage(flow: FlowNow, state: State, count: int) -> Stage:
    notes = []
    slow, more = flow.slow_hop(state), flow.into(state) - flow.out_of(state)
    if slow is not None:
        notes.append(f"p95 {words.duration(slow.p95)}, was {words.duration(slow.before_p95)}")
    if flow.is_growing(state):
        notes.append(f"grows by {words.rate(more)}")
    piles_up = len(notes) == 2
    tone = "bad" if piles_up else "warn" if notes else ""
    note = f"▲ {'piles up: ' if piles_up else ''}{', '.join(notes)}" if notes else ""
    return Stage(state, count, flow.out_of(state), tone, note)


def _last(flow: FlowNow, states: Mapping[str, int]) -> Stage:
    state = State.FINISHED
    return Stage(state, states.get(state, 0), flow.into(state), "ok", "")
