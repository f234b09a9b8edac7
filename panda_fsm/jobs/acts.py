"""What operators do with jobs, one by one or as many as a filter finds: with which not, why, and by which messages."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from panda_fsm.held_tasks import portions, throttles
from panda_fsm.jobs import kills
from panda_fsm.jobs.commands import may_be_told
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.kills import Kill, Killer
from panda_fsm.jobs.pilot_commands import DEBUG, SOFT_KILL
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import JOB, Trigger
from panda_fsm.messages import KillJob, Message, ReassignJob, ReleaseJobs, SetPriority, TellPilot

CANCEL, CANCEL_NOW, GIVE_BACK = 91, 99, 2
"""The codes with which operators end jobs, whatever their labels (docs/semantics.md §1.3)."""
_OPERATOR = Killer(is_owner=False, is_production=True)
_RELEASED_AT_ONCE = 1000
_REASSIGNED = frozenset(
    state for state in State if any(JOB.leads(trigger, state) for trigger in (Trigger.RELEASED, Trigger.REASSIGNED))
)
"""In any other state it is too late to set a job up anew, or for nothing."""


@dataclass(frozen=True, slots=True)
class Order:
    """What somebody wants done, and why."""

    act: str
    actor: str
    actor_key: str
    reason: str
    code: int = CANCEL
    priority: int = 0
    debug: bool = False


@dataclass(frozen=True, slots=True)
class Act:
    """One row. `why_not` says of a job why it is not done, None where it is; `messages` does it."""

    name: str
    audited_as: str
    why_not: Callable[[JobRow, Order], str | None]
    messages: Callable[[Sequence[JobRow], Order], Iterator[Message]]
    wishes: tuple[str, ...] = ()
    """Of the order, what counts for it."""

    def detail(self, order: Order) -> dict[str, object]:
        """For the audit."""
        return {name: getattr(order, name) for name in ("reason", *self.wishes)}


def untold(job: JobRow, debug: bool | None) -> str | None:
    """Why its pilot cannot be told anything, or not this."""
    if not may_be_told(job.state, job.has_report):
        return f"is {job.state}: its pilot is done"
    return f"is told {SOFT_KILL}: with it no pilot sees {DEBUG}" if debug and job.command == SOFT_KILL else None


def unreassigned(job: JobRow) -> str | None:
    """Why it is neither let go nor set up anew. JEDI asks right after it handed its jobs over, and means no more."""
    if job.state not in _REASSIGNED:
        return f"is {job.state}: only what no pilot has had yet is set up anew"
    if job.is_jedis and job.state is not State.PENDING:
        return "is JEDI's: give it back instead, and JEDI makes another one"
    return None


def reassigned(jobs: Sequence[JobRow], actor: str) -> Iterator[Message]:
    """Pending ones are let go, the others set up anew."""
    yield from (ReassignJob(job_id=job.job_id, actor=actor) for job in jobs if job.state is not State.PENDING)
    yield from _let_go(jobs, actor)


def _let_go(jobs: Sequence[JobRow], actor: str) -> Iterator[Message]:
    pending = [job.job_id for job in jobs if job.state is State.PENDING]
    for first in range(0, len(pending), _RELEASED_AT_ONCE):
        yield ReleaseJobs(jobs=pending[first : first + _RELEASED_AT_ONCE], actor=actor)


def _unkilled(job: JobRow, order: Order) -> str | None:
    if job.state in FINAL:
        return f"is {job.state} already"
    found = kills.effect(job.state, job.command, order.code, kills.is_forced(_OPERATOR, job.label, order.code))
    return "its pilot is told already" if found is Kill.NOTHING else None


def _killed(jobs: Sequence[JobRow], order: Order) -> Iterator[Message]:
    for job in jobs:
        yield KillJob(
            job_id=job.job_id, code=order.code, actor=order.actor, actor_key=order.actor_key, reason=order.reason,
            forced=kills.is_forced(_OPERATOR, job.label, order.code),
        )  # fmt: skip


def _unreleased(job: JobRow, _order: Order) -> str | None:
    if job.state not in (State.PENDING, State.THROTTLED):
        return f"is {job.state}: nobody holds it back"
    return "its task is held: let the task go on" if job.task_is_held else None


def _released(jobs: Sequence[JobRow], order: Order) -> Iterator[Message]:
    yield from _let_go(jobs, order.actor)
    held = [job.job_id for job in jobs if job.state is State.THROTTLED]
    yield from throttles(held, is_held=False, actor=order.actor)


def _ended(job: JobRow, _order: Order) -> str | None:
    return f"is {job.state} already" if job.state in FINAL else None


def _ranked(jobs: Sequence[JobRow], order: Order) -> Iterator[Message]:
    return portions(SetPriority, [job.job_id for job in jobs], order.actor, priority=order.priority)


def _told(jobs: Sequence[JobRow], order: Order) -> Iterator[Message]:
    return (TellPilot(job_id=job.job_id, debug=order.debug, actor=order.actor) for job in jobs)


_ROWS = (
    Act("kill", "kill_requested", _unkilled, _killed, ("code",)),
    Act(
        "reassign", "reassign_requested", lambda job, _: unreassigned(job), lambda jobs, by: reassigned(jobs, by.actor)
    ),
    Act("priority", "priority_set", _ended, _ranked, ("priority",)),
    Act("release", "release_requested", _unreleased, _released),
    Act("debug", "pilot_told", lambda job, by: untold(job, by.debug), _told, ("debug",)),
)
ACTS: Mapping[str, Act] = {row.name: row for row in _ROWS}
"""THE table of what operators do with jobs."""
EVERYWHERE = ""


def out_of_reach(job: JobRow, vos: frozenset[str]) -> str | None:
    """Why somebody who operates the system in these VOs, "" for all, does nothing with the job."""
    return None if EVERYWHERE in vos or job.vo in vos else f"is of VO {job.vo or 'none'}, where you are no operator"
