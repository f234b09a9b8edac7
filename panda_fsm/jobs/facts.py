"""One row of facts for each state of a job: phase, deadlines, what is said again, how a late report is met."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from math import inf
from typing import Any, NamedTuple, Protocol

from panda_fsm.codes import Component, DispatcherCode, TaskBufferCode, error_of_kill
from panda_fsm.jobs.deadlines import Activity, Deadline, Kind, Since, Unless
from panda_fsm.jobs.states import PRODUCTION_LABELS, USER_LABELS, Phase, State

S = State
P = Phase


class Replay(Enum):
    """What the daemon says again of a job that stays in a state: the message that somebody may have lost."""

    NOTHING = "nobody but the outside can move it"
    EVENT = "its event"
    TRANSFERS = "the requests for its files under way"
    OUTPUTS = "its event, or the verdict on its outputs"
    BLOCKS = "that its blocks may be complete"


class OnReport(Enum):
    """How a report of the pilot that holds the job is met in a state."""

    GHOST = "no pilot has this job"
    NEWS = "whatever it says"
    LAST_WORDS = "its last words, if they have not come yet; else it is heard, and nothing more"
    REPEATED = "last words that came before; anything else comes from a pilot that must stop"


class Again(NamedTuple):
    """What was said of the blocks of a job is said again to the outside, after so many seconds, of jobs of a label."""

    seconds: int
    labels: frozenset[str]

    def __str__(self) -> str:
        return f"{', '.join(sorted(self.labels))}: that its blocks are closed, after {self.seconds} s"


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of a state. `remind_s`: after so long its message is sent again, and again. `asks_again`:
    somebody outside must do something about the blocks of its outputs."""

    phase: Phase
    on_report: OnReport
    deadlines: tuple[Deadline, ...] = ()
    remind_s: int | None = None
    replay: Replay = Replay.NOTHING
    asks_again: Again | None = None


_MINUTE, _HOUR, _DAY = 60, 3600, 86400
HANDED_OUT_AGAIN = 3
"""How often a job goes to another pilot because the one before never spoke of it: then it is the job that ends."""
HEARTBEAT_PERIOD_S = 35 * _MINUTE
"""Pilots speak every 30 minutes; their last words may take another two and a half."""
_MANAGED = frozenset({"managed"})
_URGENT, _URGENT_HOLDING = 800, 801


def _expired(seconds: int, diagnostic: str, kill: int = 2, **only: Any) -> tuple[Deadline, ...]:
    return (Deadline(seconds, Component.TASK_BUFFER, error_of_kill(kill), diagnostic, kill, **only),)


def _lost(seconds: int, code: DispatcherCode, diagnostic: str, **only: Any) -> tuple[Deadline, ...]:
    return (Deadline(seconds, Component.JOB_DISPATCHER, code, diagnostic, **only),)


def _not_moved(seconds: int, **only: Any) -> tuple[Deadline, ...]:
    return (Deadline(seconds, Component.TASK_BUFFER, TaskBufferCode.TRANSFER, "outputs never arrived", **only),)


_HEARTBEAT = _lost(2 * _HOUR, DispatcherCode.LOST_HEARTBEAT, "lost heartbeat")
_NOT_MERGED = (Deadline(7 * _DAY, Component.TASK_BUFFER, TaskBufferCode.MERGE_FAILED, "outputs were never merged"),)
_TOO_OLD = _expired(21 * _DAY, "too old", since=Since.CREATED)
"""No job runs or holds for ever, however often it is heard of."""
_NEVER_TAKEN = _expired(7 * _DAY, "too old, and no pilot has it", since=Since.CREATED)
"""Nor does one wait for ever, however often it is set up anew or comes back."""
_IDLE_QUEUE = _expired(
    4 * _HOUR, "nothing starts at its queue", 51, labels=_MANAGED, from_priority=_URGENT, of_tasks=True,
    since=Since.ENTERED, reassigns=True, unless=Unless(Activity.STARTS, 2 * _HOUR),
)  # fmt: skip
_IDLE_TASK = _expired(
    12 * _HOUR, "its task does not go on at its queue", 51, labels=USER_LABELS, of_tasks=True,
    since=Since.ENTERED, unless=Unless(Activity.GOES_ON, 3 * _HOUR),
)  # fmt: skip
_IN_VAIN = _expired(
    30 * _MINUTE, "what it merges is not there any more: a job that made it has ended", 52, merges=True,
    since=Since.ENTERED, unless=Unless(Activity.AWAITED, 10 * _MINUTE),
)  # fmt: skip
"""Others may be doing again what that job did: merged with the rest, it would be there twice."""
_HOLDING = (DispatcherCode.HOLDING_TIMEOUT, "stuck in holding")
_ENDED = Facts(P.FINAL, OnReport.REPEATED, replay=Replay.BLOCKS)

FACTS: Mapping[State, Facts] = {
    S.PENDING: Facts(P.PREPARING, OnReport.GHOST, _expired(_HOUR, "expired in pending", 4) + _IN_VAIN + _NEVER_TAKEN),
    S.DEFINED: Facts(
        P.PREPARING, OnReport.GHOST,
        _expired(4 * _HOUR, "expired in defined", 51, labels=PRODUCTION_LABELS, of_tasks=True)
        + _expired(4 * _HOUR, "expired in defined") + _IN_VAIN + _NEVER_TAKEN,
        remind_s=2 * _MINUTE, replay=Replay.EVENT,
    ),
    S.WAITING: Facts(
        P.PREPARING, OnReport.GHOST,
        _expired(_HOUR, "expired in waiting: inputs were nowhere", 4) + _IN_VAIN + _NEVER_TAKEN,
        remind_s=2 * _MINUTE, replay=Replay.EVENT,
    ),
    S.ASSIGNED: Facts(
        P.PREPARING, OnReport.GHOST,
        _IDLE_TASK + _expired(12 * _HOUR, "expired in assigned: inputs never arrived", 51, labels=_MANAGED)
        + _expired(7 * _DAY, "expired in assigned: inputs never arrived") + _IN_VAIN + _NEVER_TAKEN,
        remind_s=10 * _MINUTE, replay=Replay.TRANSFERS,
    ),
    S.ACTIVATED: Facts(
        P.READY, OnReport.GHOST,
        _IDLE_QUEUE + _IDLE_TASK
        + _expired(2 * _DAY, "expired in activated: no pilot came", 51, labels=_MANAGED, reassigns=True)
        + _expired(7 * _DAY, "expired in activated: no pilot came") + _IN_VAIN + _NEVER_TAKEN,
    ),
    S.THROTTLED: Facts(
        P.READY, OnReport.GHOST,
        _expired(7 * _DAY, "expired in throttled: nobody let it go on") + _IN_VAIN + _NEVER_TAKEN,
    ),
    S.SENT: Facts(
        P.WITH_PILOT, OnReport.NEWS,
        _lost(_HOUR // 2, DispatcherCode.SENT_TIMEOUT, "sent to a pilot that never reported") + _TOO_OLD,
    ),
    S.STARTING: Facts(
        P.WITH_PILOT, OnReport.NEWS,
        _HEARTBEAT + _IDLE_QUEUE + _IDLE_TASK
        + _expired(48 * _HOUR, "stuck in starting", 51, labels=_MANAGED, since=Since.ENTERED, reassigns=True)
        + _IN_VAIN + _TOO_OLD,
    ),
    S.RUNNING: Facts(P.WITH_PILOT, OnReport.NEWS, _HEARTBEAT + _IN_VAIN + _TOO_OLD),
    S.HOLDING: Facts(
        P.POST_PROCESSING, OnReport.LAST_WORDS,
        _lost(3 * _HOUR, *_HOLDING, labels=USER_LABELS) + _lost(3 * _HOUR, *_HOLDING, from_priority=_URGENT_HOLDING)
        + _lost(48 * _HOUR, *_HOLDING) + _IN_VAIN + _TOO_OLD,
        remind_s=2 * _MINUTE, replay=Replay.OUTPUTS,
    ),
    S.TRANSFERRING: Facts(
        P.POST_PROCESSING, OnReport.LAST_WORDS,
        _lost(2 * _HOUR, DispatcherCode.TRANSFERRING_TIMEOUT, "lost while its pilot transferred",
              labels=USER_LABELS, declared=True)
        + _not_moved(2 * _DAY, from_priority=_URGENT) + _not_moved(6 * _DAY) + _IN_VAIN + _TOO_OLD,
        remind_s=10 * _MINUTE, replay=Replay.TRANSFERS,
    ),
    S.MERGING: Facts(
        P.POST_PROCESSING, OnReport.LAST_WORDS,
        _NOT_MERGED + _TOO_OLD,
        remind_s=10 * _MINUTE, replay=Replay.EVENT, asks_again=Again(2 * _HOUR, _MANAGED),
    ),
    S.FINISHED: _ENDED,
    S.FAILED: _ENDED,
    S.CLOSED: _ENDED,
    S.CANCELLED: _ENDED,
}  # fmt: skip


def in_phases(*phases: Phase) -> frozenset[State]:
    """The states of these phases."""
    return frozenset(state for state, facts in FACTS.items() if facts.phase in phases)


FINAL = in_phases(P.FINAL)
ENDED_BADLY = FINAL - {S.FINISHED}
LIVE = frozenset(FACTS) - FINAL
WITH_PILOT = in_phases(P.WITH_PILOT)
GOES_ON = in_phases(P.READY, P.WITH_PILOT, P.POST_PROCESSING) - {S.STARTING} | {S.FINISHED, S.CANCELLED}
"""A job that came here a while ago says that its task goes on; one that failed or was closed does not."""


class Limits(Protocol):
    """What an installation may set: seconds for deadlines and reminders of states."""

    def deadline_s(self, state: State, deadline: Deadline) -> int:
        """Seconds of a deadline of `state`."""

    def remind_s(self, state: State) -> int | None:
        """Seconds after which the message of a job in `state` is sent again; None: never."""


@dataclass(frozen=True, slots=True)
class TableLimits:
    """The facts of the table, with the deadlines and reminders that an installation sets differently: for all kinds of
    jobs alike, but not what counts from elsewhere."""

    deadlines: Mapping[State, int]
    reminders: Mapping[State, int]

    def deadline_s(self, state: State, deadline: Deadline) -> int:
        return self.deadlines.get(state, deadline.seconds) if deadline.since is Since.HEARD else deadline.seconds

    def remind_s(self, state: State) -> int | None:
        return self.reminders.get(state, FACTS[state].remind_s)


@dataclass(frozen=True, slots=True)
class Span:
    """Seconds from entry into a state: until the deadline there, and until the daemon must look at the job, whatever
    comes first. `age_s`: how old it may be by then, counted from its creation."""

    deadline_s: float
    look_s: float
    age_s: float = inf


def span(limits: Limits, state: State, kind: Kind, archive_after_s: float) -> Span:
    """The times of a job of this kind that enters `state`; of an ended one they are the archive's."""
    if state in FINAL:
        return Span(archive_after_s, archive_after_s)
    shortest = dict.fromkeys(Since, inf)
    for deadline in FACTS[state].deadlines:
        if deadline.is_for(kind):
            shortest[deadline.since] = min(shortest[deadline.since], limits.deadline_s(state, deadline))
    remind_s = limits.remind_s(state)
    look_s = min(shortest[Since.HEARD], shortest[Since.ENTERED], inf if remind_s is None else remind_s)
    return Span(shortest[Since.HEARD], look_s, shortest[Since.CREATED])
