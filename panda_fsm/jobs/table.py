"""THE table of a job's transitions, and what is late; machine, bindings, SQL rows and docs derive from it."""

from enum import StrEnum

from panda_fsm.jobs.facts import in_phases
from panda_fsm.jobs.states import TO_SET_UP, Phase, State
from panda_fsm.machine import Lifecycle, row

S = State
P = Phase


class Trigger(StrEnum):
    """What happened to a job, in the past tense: the name of a step in the table (`event` in the database)."""

    SUBMITTED = "submitted"
    SUBMITTED_PENDING = "submitted_pending"
    RELEASED = "released"
    REASSIGNED = "reassigned"
    INPUTS_UNKNOWN = "inputs_unknown"
    INPUTS_REQUESTED = "inputs_requested"
    INPUTS_AT_SITE = "inputs_at_site"
    SETUP_FAILED = "setup_failed"
    UPSTREAM_FAILED = "upstream_failed"
    INPUTS_ARRIVED = "inputs_arrived"
    INPUTS_FAILED = "inputs_failed"
    THROTTLED = "throttled"
    UNTHROTTLED = "unthrottled"
    ACQUIRED = "acquired"
    UNDELIVERED = "undelivered"
    UNCLAIMED = "unclaimed"
    PILOT_STARTING = "pilot_starting"
    PILOT_RUNNING = "pilot_running"
    PILOT_HOLDING = "pilot_holding"
    PILOT_TRANSFERRING = "pilot_transferring"
    PILOT_ENDED = "pilot_ended"
    OUTPUTS_MOVING = "outputs_moving"
    OUTPUTS_MERGING = "outputs_merging"
    OUTPUTS_DONE = "outputs_done"
    OUTPUTS_FAILED = "outputs_failed"
    KILL_OBEYED = "kill_obeyed"
    CLOSED = "closed"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
    UNNEEDED = "unneeded"
    LOST = "lost"


T = Trigger
_WITH_PILOT = in_phases(P.WITH_PILOT)
_AFTER_PILOT = in_phases(P.POST_PROCESSING)
_WAITING = in_phases(P.PREPARING, P.READY)
_SET_UP_ANEW = frozenset({S.WAITING, S.ASSIGNED, S.ACTIVATED})
"""From here a job goes back; what is throttled stays so until somebody lets it go on."""
_ASKED_FIRST = frozenset({S.RUNNING})
"""Killing these is a request to the pilot, unless it is forced."""
_DECLARED = frozenset({S.HOLDING, S.TRANSFERRING})
"""A pilot may say these of its job before its last words."""
_MOVING = frozenset({S.HOLDING, S.TRANSFERRING})
"""Outputs are looked at or under way, of a job that its pilot was to be asked to stop, perhaps."""
_ENDED_AT_ONCE = (_WAITING | _WITH_PILOT | _AFTER_PILOT) - _ASKED_FIRST

TABLE = (
    row(T.SUBMITTED, None, S.DEFINED, "setupper", "submit"),
    row(T.SUBMITTED_PENDING, None, S.PENDING, "setupper", "submit"),
    row(T.RELEASED, S.PENDING, S.DEFINED, "setupper", "release reassign"),
    row(T.REASSIGNED, _SET_UP_ANEW, S.DEFINED, "setupper", "reassign"),
    row(T.INPUTS_UNKNOWN, S.DEFINED, S.WAITING, "setupper", "job.defined"),
    row(T.INPUTS_REQUESTED, TO_SET_UP, S.ASSIGNED, "setupper", "job.defined job.waiting"),
    row(T.INPUTS_AT_SITE, TO_SET_UP, S.ACTIVATED, "setupper", "job.defined job.waiting"),
    row(T.SETUP_FAILED, TO_SET_UP, S.FAILED, "setupper", "job.defined job.waiting"),
    row(T.UPSTREAM_FAILED, TO_SET_UP, S.CANCELLED, "setupper", "job.defined job.waiting"),
    row(T.INPUTS_ARRIVED, S.ASSIGNED, S.ACTIVATED, "activator", "ddm.arrived.dispatch"),
    row(T.INPUTS_FAILED, S.ASSIGNED, S.FAILED, "activator", "ddm.failed.dispatch"),
    row(T.THROTTLED, S.ACTIVATED, S.THROTTLED, "watcher", "throttle"),
    row(T.UNTHROTTLED, S.THROTTLED, S.ACTIVATED, "watcher", "unthrottle"),
    row(T.ACQUIRED, S.ACTIVATED, S.SENT, "gateway", ""),
    row(T.UNDELIVERED, S.SENT, S.ACTIVATED, "gateway", ""),
    row(T.UNCLAIMED, S.SENT, S.ACTIVATED, "watcher", "deadline", "may_be_handed_out_again"),
    row(T.PILOT_STARTING, S.SENT, S.STARTING, "watcher", "report.starting"),
    row(T.PILOT_RUNNING, frozenset({S.SENT, S.STARTING}), S.RUNNING, "watcher", "report.running"),
    row(T.PILOT_HOLDING, _WITH_PILOT, S.HOLDING, "watcher", "report.holding"),
    row(T.PILOT_TRANSFERRING, _WITH_PILOT, S.TRANSFERRING, "watcher", "report.transferring"),
    row(T.PILOT_ENDED, _WITH_PILOT, S.HOLDING, "watcher", "report.finished report.failed"),
    row(T.PILOT_ENDED, _DECLARED, S.HOLDING, "watcher", "report.finished report.failed", "awaits_report"),
    row(T.OUTPUTS_MOVING, S.HOLDING, S.TRANSFERRING, "adder", "job.holding"),
    row(T.OUTPUTS_MERGING, S.HOLDING, S.MERGING, "adder", "job.holding"),
    row(T.OUTPUTS_MERGING, S.TRANSFERRING, S.MERGING, "finisher", "ddm.arrived.sub"),
    row(T.OUTPUTS_DONE, _AFTER_PILOT, S.FINISHED, "finisher", "job.outputs_added ddm.arrived.sub job.merging"),
    row(T.OUTPUTS_FAILED, _AFTER_PILOT, S.FAILED, "finisher", "job.outputs_added ddm.failed.sub job.merging"),
    row(T.KILL_OBEYED, _MOVING, S.CANCELLED, "finisher", "job.outputs_added ddm.arrived.sub ddm.failed.sub"),
    row(T.CLOSED, _ENDED_AT_ONCE, S.CLOSED, "watcher", "kill"),
    row(T.CLOSED, _ASKED_FIRST, S.CLOSED, "watcher", "kill", "kill_is_forced"),
    row(T.CANCELLED, _ENDED_AT_ONCE, S.CANCELLED, "watcher", "kill"),
    row(T.CANCELLED, _ASKED_FIRST, S.CANCELLED, "watcher", "kill", "kill_is_forced"),
    row(T.EXPIRED, _WAITING | _WITH_PILOT | _AFTER_PILOT, S.CLOSED, "watcher", "deadline"),
    row(T.UNNEEDED, _WAITING | _WITH_PILOT | _AFTER_PILOT, S.CANCELLED, "watcher", "deadline"),
    row(T.LOST, _WITH_PILOT | _AFTER_PILOT, S.FAILED, "watcher", "deadline"),
)

# Late and repeated messages are normal; these say so, by phase, so that a new state answers as its neighbours do, and
# state by state inside the phases of a step. What is in neither is illegal (see `ILLEGAL`): nothing is left unsaid.
_PAST_PREPARING = in_phases(P.READY, P.WITH_PILOT, P.POST_PROCESSING, P.FINAL)
_PAST_PILOT = in_phases(P.POST_PROCESSING, P.FINAL)
_FINAL = in_phases(P.FINAL)
IGNORED = {
    T.SUBMITTED: in_phases(*P),
    T.SUBMITTED_PENDING: in_phases(*P),
    T.RELEASED: _PAST_PREPARING | {S.DEFINED, S.WAITING, S.ASSIGNED},
    T.REASSIGNED: _PAST_PREPARING - {S.ACTIVATED} | {S.DEFINED},
    T.INPUTS_UNKNOWN: _PAST_PREPARING | {S.WAITING, S.ASSIGNED},
    T.INPUTS_REQUESTED: _PAST_PREPARING | {S.ASSIGNED},
    T.INPUTS_AT_SITE: _PAST_PREPARING | {S.ASSIGNED},
    T.SETUP_FAILED: _PAST_PREPARING | {S.ASSIGNED},
    T.UPSTREAM_FAILED: _PAST_PREPARING | {S.ASSIGNED},
    T.INPUTS_ARRIVED: _PAST_PREPARING | TO_SET_UP,
    T.INPUTS_FAILED: _PAST_PREPARING | TO_SET_UP,
    T.THROTTLED: in_phases(*P) - {S.ACTIVATED},
    T.UNTHROTTLED: in_phases(*P) - {S.THROTTLED},
    T.ACQUIRED: frozenset[State](),
    T.UNDELIVERED: in_phases(*P) - {S.SENT},
    T.UNCLAIMED: in_phases(*P),
    T.PILOT_STARTING: _PAST_PILOT | {S.STARTING, S.RUNNING},
    T.PILOT_RUNNING: _PAST_PILOT | {S.RUNNING},
    T.PILOT_HOLDING: _PAST_PILOT,
    T.PILOT_TRANSFERRING: _PAST_PILOT,
    T.PILOT_ENDED: _PAST_PILOT,
    T.OUTPUTS_MOVING: _FINAL | {S.TRANSFERRING, S.MERGING},
    T.OUTPUTS_MERGING: _FINAL | {S.MERGING},
    T.OUTPUTS_DONE: _FINAL,
    T.OUTPUTS_FAILED: _FINAL,
    T.KILL_OBEYED: _FINAL | {S.MERGING},
    T.CLOSED: _FINAL | _ASKED_FIRST,
    T.CANCELLED: _FINAL | _ASKED_FIRST,
    T.EXPIRED: _FINAL,
    T.UNNEEDED: _FINAL,
    T.LOST: _WAITING | _FINAL,
}

_BEFORE_PILOT = in_phases(P.PREPARING, P.READY)
_BEFORE_OUTPUTS = in_phases(P.PREPARING, P.READY, P.WITH_PILOT)
ILLEGAL = {
    T.SUBMITTED: frozenset[State](),
    T.SUBMITTED_PENDING: frozenset[State](),
    T.RELEASED: frozenset[State](),
    T.REASSIGNED: frozenset({S.PENDING}),
    T.INPUTS_UNKNOWN: frozenset({S.PENDING}),
    T.INPUTS_REQUESTED: frozenset({S.PENDING}),
    T.INPUTS_AT_SITE: frozenset({S.PENDING}),
    T.SETUP_FAILED: frozenset({S.PENDING}),
    T.UPSTREAM_FAILED: frozenset({S.PENDING}),
    T.INPUTS_ARRIVED: frozenset({S.PENDING}),
    T.INPUTS_FAILED: frozenset({S.PENDING}),
    T.THROTTLED: frozenset[State](),
    T.UNTHROTTLED: frozenset[State](),
    T.ACQUIRED: in_phases(*P) - {S.ACTIVATED},
    T.UNDELIVERED: frozenset[State](),
    T.UNCLAIMED: frozenset[State](),
    T.PILOT_STARTING: _BEFORE_PILOT,
    T.PILOT_RUNNING: _BEFORE_PILOT,
    T.PILOT_HOLDING: _BEFORE_PILOT,
    T.PILOT_TRANSFERRING: _BEFORE_PILOT,
    T.PILOT_ENDED: _BEFORE_PILOT,
    T.OUTPUTS_MOVING: _BEFORE_OUTPUTS,
    T.OUTPUTS_MERGING: _BEFORE_OUTPUTS,
    T.OUTPUTS_DONE: _BEFORE_OUTPUTS,
    T.OUTPUTS_FAILED: _BEFORE_OUTPUTS,
    T.KILL_OBEYED: _BEFORE_OUTPUTS,
    T.CLOSED: frozenset[State](),
    T.CANCELLED: frozenset[State](),
    T.EXPIRED: frozenset[State](),
    T.UNNEEDED: frozenset[State](),
    T.LOST: frozenset[State](),
}
"""Facts that cannot be, so whoever says them is wrong: a dead letter."""

JOB: Lifecycle[Trigger, State] = Lifecycle(State, Trigger, TABLE, IGNORED)
