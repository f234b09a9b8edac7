"""The one table of transitions; bindings, deadlines, SQL lookup rows and docs/lifecycle.md are derived from it."""

from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol

from transitions import Machine, MachineError

from panda_fsm.states import LIVE, State

S = State


class Trigger(StrEnum):
    """What happened to a job, in the past tense: the name of a step in the table."""

    SUBMITTED = "submitted"
    SUBMITTED_PENDING = "submitted_pending"
    RELEASED = "released"
    INPUTS_REQUESTED = "inputs_requested"
    INPUTS_AT_SITE = "inputs_at_site"
    SETUP_FAILED = "setup_failed"
    INPUTS_ARRIVED = "inputs_arrived"
    INPUTS_FAILED = "inputs_failed"
    ACQUIRED = "acquired"
    PILOT_STARTING = "pilot_starting"
    PILOT_RUNNING = "pilot_running"
    PILOT_HOLDING = "pilot_holding"
    PILOT_ENDED = "pilot_ended"
    OUTPUTS_MOVING = "outputs_moving"
    OUTPUTS_DONE = "outputs_done"
    OUTPUTS_FAILED = "outputs_failed"
    KILL_OBEYED = "kill_obeyed"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    LOST = "lost"


@dataclass(frozen=True, slots=True)
class Transition:
    """One row: `trigger` moves a job from any of `sources` to `destination`, done `by` a service `on` messages."""

    trigger: Trigger
    sources: frozenset[State | None]
    destination: State
    by: str
    on: tuple[str, ...]
    guard: str | None = None


def _row(
    trigger: Trigger,
    sources: State | frozenset[State] | None,
    destination: State,
    by: str,
    on: str,
    guard: str | None = None,
) -> Transition:
    many: frozenset[State | None] = frozenset(sources) if isinstance(sources, frozenset) else frozenset({sources})
    return Transition(trigger, many, destination, by, tuple(on.split()), guard)


T = Trigger
_WAITING = frozenset({S.PENDING, S.DEFINED, S.ASSIGNED, S.ACTIVATED})
_WITH_PILOT = frozenset({S.SENT, S.STARTING, S.RUNNING})
_AFTER_PILOT = frozenset({S.HOLDING, S.TRANSFERRING})
_KILLABLE = LIVE - {S.RUNNING}  # killing a running job is a request to its pilot, unless forced

TABLE: tuple[Transition, ...] = (
    _row(T.SUBMITTED, None, S.DEFINED, "setupper", "submit"),
    _row(T.SUBMITTED_PENDING, None, S.PENDING, "setupper", "submit"),
    _row(T.RELEASED, S.PENDING, S.DEFINED, "setupper", "release"),
    _row(T.INPUTS_REQUESTED, S.DEFINED, S.ASSIGNED, "setupper", "job.defined"),
    _row(T.INPUTS_AT_SITE, S.DEFINED, S.ACTIVATED, "setupper", "job.defined"),
    _row(T.SETUP_FAILED, S.DEFINED, S.FAILED, "setupper", "job.defined"),
    _row(T.INPUTS_ARRIVED, frozenset({S.DEFINED, S.ASSIGNED}), S.ACTIVATED, "activator", "ddm.arrived.dispatch"),
    _row(T.INPUTS_FAILED, S.ASSIGNED, S.FAILED, "activator", "ddm.failed.dispatch"),
    _row(T.ACQUIRED, S.ACTIVATED, S.SENT, "gateway", ""),
    _row(T.PILOT_STARTING, S.SENT, S.STARTING, "watcher", "report.starting"),
    _row(T.PILOT_RUNNING, frozenset({S.SENT, S.STARTING}), S.RUNNING, "watcher", "report.running"),
    _row(T.PILOT_HOLDING, _WITH_PILOT, S.HOLDING, "watcher", "report.holding report.transferring"),
    _row(T.PILOT_ENDED, _WITH_PILOT, S.HOLDING, "watcher", "report.finished report.failed"),
    _row(T.PILOT_ENDED, S.HOLDING, S.HOLDING, "watcher", "report.finished report.failed", "awaits_report"),
    _row(T.OUTPUTS_MOVING, S.HOLDING, S.TRANSFERRING, "adder", "job.holding"),
    _row(T.OUTPUTS_DONE, _AFTER_PILOT, S.FINISHED, "finisher", "job.outputs_added ddm.arrived.sub"),
    _row(T.OUTPUTS_FAILED, _AFTER_PILOT, S.FAILED, "finisher", "job.outputs_added ddm.failed.sub"),
    _row(T.KILL_OBEYED, S.HOLDING, S.CANCELLED, "finisher", "job.outputs_added"),
    _row(T.CLOSED, _KILLABLE, S.CLOSED, "watcher", "kill"),
    _row(T.CLOSED, S.RUNNING, S.CLOSED, "watcher", "kill", "kill_is_forced"),
    _row(T.CANCELLED, _KILLABLE, S.CANCELLED, "watcher", "kill"),
    _row(T.CANCELLED, S.RUNNING, S.CANCELLED, "watcher", "kill", "kill_is_forced"),
    _row(T.EXPIRED, _WAITING, S.CLOSED, "watcher", "deadline"),
    _row(T.LOST, _WITH_PILOT | _AFTER_PILOT, S.FAILED, "watcher", "deadline"),
)

# Late and repeated messages are normal; these say so, state by state. What is in neither table is illegal.
_FROM_ACTIVATED = frozenset(State) - {S.PENDING, S.DEFINED, S.ASSIGNED}
_FINAL = frozenset(State) - LIVE
_NOT_WITH_PILOT = _AFTER_PILOT | _FINAL
IGNORED: dict[Trigger, frozenset[State]] = {
    T.SUBMITTED: frozenset(State),
    T.SUBMITTED_PENDING: frozenset(State),
    T.RELEASED: frozenset(State) - {S.PENDING},
    T.INPUTS_REQUESTED: frozenset(State) - {S.PENDING, S.DEFINED},
    T.INPUTS_AT_SITE: frozenset(State) - {S.PENDING, S.DEFINED},
    T.SETUP_FAILED: frozenset(State) - {S.PENDING, S.DEFINED},
    T.INPUTS_ARRIVED: _FROM_ACTIVATED,
    T.INPUTS_FAILED: _FROM_ACTIVATED,
    T.PILOT_STARTING: _NOT_WITH_PILOT | {S.STARTING, S.RUNNING},
    T.PILOT_RUNNING: _NOT_WITH_PILOT | {S.RUNNING},
    T.PILOT_HOLDING: _NOT_WITH_PILOT,
    T.PILOT_ENDED: _NOT_WITH_PILOT,
    T.OUTPUTS_MOVING: _FINAL | {S.TRANSFERRING},
    T.OUTPUTS_DONE: _FINAL,
    T.OUTPUTS_FAILED: _FINAL,
    T.KILL_OBEYED: _FINAL | {S.TRANSFERRING},
    T.CLOSED: _FINAL | {S.RUNNING},
    T.CANCELLED: _FINAL | {S.RUNNING},
    T.EXPIRED: frozenset(State) - _WAITING,
    T.LOST: frozenset(State) - _WITH_PILOT - _AFTER_PILOT,
}

BLOCK_CLOSED_BY = "closer"
BLOCK_CLOSED_ON = (
    "job.outputs_added", "job.transferring", "job.failed", "job.closed", "job.cancelled", "block.check",
)  # fmt: skip
"""After each of these a sub-destination block may hold no unknown file any more."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long (seconds) a job may stay in a state, and what it is reported as when it does not move on."""

    seconds: int
    trigger: Trigger
    component: str
    code: int
    diagnostic: str
    since_heartbeat: bool = False


_HOUR = 3600
_LOST_HEARTBEAT = Deadline(2 * _HOUR, T.LOST, "job_dispatcher", 100, "lost heartbeat", since_heartbeat=True)
DEADLINES: dict[State, Deadline] = {
    S.PENDING: Deadline(_HOUR, T.EXPIRED, "task_buffer", 102, "expired in pending"),
    S.DEFINED: Deadline(4 * _HOUR, T.EXPIRED, "task_buffer", 102, "expired in defined"),
    S.ASSIGNED: Deadline(12 * _HOUR, T.EXPIRED, "task_buffer", 102, "expired in assigned: inputs never arrived"),
    S.ACTIVATED: Deadline(7 * 24 * _HOUR, T.EXPIRED, "task_buffer", 102, "expired in activated: no pilot came"),
    S.SENT: Deadline(_HOUR // 2, T.LOST, "job_dispatcher", 102, "sent to a pilot that never reported"),
    S.STARTING: _LOST_HEARTBEAT,
    S.RUNNING: _LOST_HEARTBEAT,
    S.HOLDING: Deadline(48 * _HOUR, T.LOST, "job_dispatcher", 103, "stuck in holding"),
    S.TRANSFERRING: Deadline(48 * _HOUR, T.LOST, "job_dispatcher", 104, "outputs never arrived"),
}


class Subject(Protocol):
    """What the machine moves: it reads and writes `state`, and asks guards by the name the table gives."""

    state: State


@dataclass(frozen=True, slots=True)
class Ignored:
    """The step comes late or again: acknowledge it, change nothing."""

    trigger: Trigger
    state: State


@dataclass(frozen=True, slots=True)
class Step:
    """The step that was made."""

    trigger: Trigger
    source: State | None
    destination: State


def _machine() -> Machine:
    rows: list[dict[str, Any]] = [
        {"trigger": row.trigger.value, "source": source, "dest": row.destination}
        | ({"conditions": row.guard} if row.guard else {})
        for row in TABLE
        for source in sorted(filter(None, row.sources))
    ]
    return Machine(model=None, states=State, transitions=rows, initial=None, auto_transitions=False)


_MACHINE = _machine()
# The machine takes ~9 us a step, most of it to find callbacks that we do not have. Steps without a guard are therefore
# read from it once; a step with a guard is asked of it each time (ADR 0003).
_STEPS: dict[tuple[Trigger, State], Step] = {
    (Trigger(name), State[source]): Step(Trigger(name), State[source], State[str(transition.dest)])
    for name, event in _MACHINE.events.items()
    for source, transitions in event.transitions.items()
    for transition in transitions
    if not transition.conditions
}
_BIRTHS = {row.trigger: row.destination for row in TABLE if None in row.sources}


def birth(trigger: Trigger) -> Step:
    """The step by which a new job appears. Raises KeyError for a trigger that creates none."""
    return Step(trigger, None, _BIRTHS[trigger])


def advance(subject: Subject, trigger: Trigger) -> Step | Ignored | None:
    """Move `subject` by `trigger`: the Step made, Ignored for a late or repeated one, None where it is illegal."""
    source = subject.state
    known = _STEPS.get((trigger, source))
    if known is not None:
        subject.state = known.destination
        return known
    event = _MACHINE.events.get(trigger.value)
    try:
        if event is not None and event.trigger(subject):
            return Step(trigger, source, subject.state)
    except MachineError:
        pass  # no row from this state: the ignore list decides
    return Ignored(trigger, source) if source in IGNORED.get(trigger, ()) else None


def bindings() -> dict[str, frozenset[str]]:
    """Routing keys that each service must receive, from the `on` column."""
    keys: dict[str, set[str]] = {BLOCK_CLOSED_BY: set(BLOCK_CLOSED_ON)}
    for row in TABLE:
        if row.by != "gateway":
            keys.setdefault(row.by, set()).update(row.on)
    return {service: frozenset(on) for service, on in keys.items()}


def rows() -> Iterator[tuple[str, str | None, str, str]]:
    """The table as (trigger, source, destination, service), one row a source: what the database refers to."""
    for row in TABLE:
        for source in sorted(row.sources, key=str):
            yield row.trigger.value, source.value if source else None, row.destination.value, row.by
