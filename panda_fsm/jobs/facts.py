"""One row of facts for each state of a job: phase, deadline, reminder, what is said again, how a late report is met."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Protocol

from panda_fsm.codes import Component, DispatcherCode, TaskBufferCode
from panda_fsm.jobs.states import Phase, State

S = State
P = Phase


class Replay(Enum):
    """What the clock says again of a job that stays in a state: the message that somebody may have lost."""

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


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long (seconds) a job may stay in a state without a step or, where it counts, a heartbeat; and the error."""

    seconds: int
    component: Component
    code: int
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Facts:
    """What there is to know of a state. `remind_s`: after so long its message is sent again, and again.

    `heartbeats`: whether being heard of renews the deadline, which otherwise counts from entry.
    """

    phase: Phase
    on_report: OnReport
    deadline: Deadline | None = None
    heartbeats: bool = False
    remind_s: int | None = None
    replay: Replay = Replay.NOTHING


_MINUTE, _HOUR, _DAY = 60, 3600, 86400
HANDED_OUT_AGAIN = 3
"""How often a job goes to another pilot because the one before never spoke of it: then it is the job that ends."""
HEARTBEAT_PERIOD_S = 35 * _MINUTE
"""Pilots speak every 30 minutes; their last words may take another two and a half."""


def _expired(seconds: int, diagnostic: str) -> Deadline:
    return Deadline(seconds, Component.TASK_BUFFER, TaskBufferCode.EXPIRED, diagnostic)


def _lost(seconds: int, code: DispatcherCode, diagnostic: str) -> Deadline:
    return Deadline(seconds, Component.JOB_DISPATCHER, code, diagnostic)


_HEARTBEAT = _lost(2 * _HOUR, DispatcherCode.LOST_HEARTBEAT, "lost heartbeat")
_ENDED = Facts(P.FINAL, OnReport.REPEATED, replay=Replay.BLOCKS)

FACTS: Mapping[State, Facts] = {
    S.PENDING: Facts(P.PREPARING, OnReport.GHOST, _expired(_HOUR, "expired in pending")),
    S.DEFINED: Facts(
        P.PREPARING, OnReport.GHOST, _expired(4 * _HOUR, "expired in defined"),
        remind_s=2 * _MINUTE, replay=Replay.EVENT,
    ),
    S.ASSIGNED: Facts(
        P.PREPARING, OnReport.GHOST, _expired(12 * _HOUR, "expired in assigned: inputs never arrived"),
        remind_s=10 * _MINUTE, replay=Replay.TRANSFERS,
    ),
    S.ACTIVATED: Facts(P.READY, OnReport.GHOST, _expired(7 * _DAY, "expired in activated: no pilot came")),
    S.SENT: Facts(
        P.WITH_PILOT, OnReport.NEWS,
        _lost(_HOUR // 2, DispatcherCode.SENT_TIMEOUT, "sent to a pilot that never reported"),
    ),
    S.STARTING: Facts(P.WITH_PILOT, OnReport.NEWS, _HEARTBEAT, heartbeats=True),
    S.RUNNING: Facts(P.WITH_PILOT, OnReport.NEWS, _HEARTBEAT, heartbeats=True),
    S.HOLDING: Facts(
        P.POST_PROCESSING, OnReport.LAST_WORDS,
        _lost(48 * _HOUR, DispatcherCode.HOLDING_TIMEOUT, "stuck in holding"),
        heartbeats=True, remind_s=2 * _MINUTE, replay=Replay.OUTPUTS,
    ),
    S.TRANSFERRING: Facts(
        P.POST_PROCESSING, OnReport.LAST_WORDS,
        _lost(48 * _HOUR, DispatcherCode.TRANSFERRING_TIMEOUT, "outputs never arrived"),
        remind_s=10 * _MINUTE, replay=Replay.TRANSFERS,
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
LIVE = frozenset(FACTS) - FINAL
WITH_PILOT = in_phases(P.WITH_PILOT)


class Limits(Protocol):
    """What an installation may set: seconds for deadlines and reminders of states."""

    def deadline_s(self, state: State) -> int | None:
        """Seconds a job may stay in `state`; None for a final state."""

    def remind_s(self, state: State) -> int | None:
        """Seconds after which the message of a job in `state` is sent again; None: never."""


@dataclass(frozen=True, slots=True)
class TableLimits:
    """The facts of the table, with the deadlines and reminders that an installation sets differently."""

    deadlines: Mapping[State, int]
    reminders: Mapping[State, int]

    def deadline_s(self, state: State) -> int | None:
        deadline = FACTS[state].deadline
        return None if deadline is None else self.deadlines.get(state, deadline.seconds)

    def remind_s(self, state: State) -> int | None:
        return self.reminders.get(state, FACTS[state].remind_s)


def look_s(limits: Limits, state: State, archive_after_s: float) -> float:
    """Seconds after entry into `state` at which the clock must look at the job: whatever comes first."""
    wanted = (limits.deadline_s(state), limits.remind_s(state))
    return min((float(seconds) for seconds in wanted if seconds is not None), default=archive_after_s)
