"""Appointments: what the clock does about a job when its time has come; the one rule for deadlines and reminders."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.facts import FACTS, FINAL, Limits, Replay
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus, Phase, State
from panda_fsm.messages.ddm import FileToMove, TransferRequested
from panda_fsm.messages.envelope import Message
from panda_fsm.messages.facts import DeadlinePassed, JobEvent, OutputsAdded
from panda_fsm.transfers import request, to_move

_ANNOUNCE_AGAIN_S = (60.0, 900.0)
"""A deadline that nobody acted upon is announced again: after a minute, and ever later while the queue is long."""
_PAUSE_GROWS = 4.0
"""Reminders come ever later too, up to so many times the first pause: a long queue must not be fed with them."""
_BLOCK_AGAIN_S = 60.0
_UNDER_WAY = {Phase.PREPARING: FileStatus.PENDING, Phase.POST_PROCESSING: FileStatus.TRANSFERRING}


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """A block under way: where its files come from and go to."""

    name: str
    kind: BlockKind
    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class Due:
    """Live jobs whose time has come, with the open blocks of their files by name.

    Until `grace_until` a pilot's silence may have been ours. `at_once` names jobs that an operator wants reminded of.
    """

    jobs: Mapping[int, Job]
    blocks: Mapping[str, OpenBlock]
    now: datetime
    grace_until: datetime
    at_once: frozenset[int] = frozenset()


@dataclass(frozen=True, slots=True)
class Appointed:
    """What is done now, and when to look again. `overdue`: the messages announce a loss or an expiry.

    `ended`: the job is the archive's from now on.
    """

    messages: tuple[Message, ...]
    look_at: datetime
    overdue: bool = False
    ended: bool = False


@dataclass(frozen=True, slots=True)
class Ended:
    """A job that the archive meets. `awaits_closing`: a block of it is complete and will be closed by its files."""

    job_id: int
    state: State
    deadline_at: datetime
    awaits_closing: bool


@dataclass(frozen=True, slots=True)
class Archived:
    """What became of ended jobs that were due: how many went, and why some cannot."""

    due: int
    gone: int
    trouble: Mapping[int, str]


def lives_by_reports(state: State) -> bool:
    """Whether a job in this state ends by its pilot's silence, so that being heard of counts."""
    return FACTS[state].heartbeats or FACTS[state].phase is Phase.WITH_PILOT


def deadline_of(job: Job, limits: Limits) -> datetime:
    """When the job is overdue: from its entry or, where a pilot has it, from the last that anybody acknowledged."""
    seconds = limits.deadline_s(job.state)
    if seconds is None or job.heard_at is None or not lives_by_reports(job.state):
        return job.deadline_at
    return max(job.deadline_at, job.heard_at + timedelta(seconds=seconds))


def is_overdue(job: Job, now: datetime, limits: Limits) -> bool:
    """Whether its time is up; not while its outputs are still looked at, which is not the job's fault."""
    awaits_outputs = FACTS[job.state].replay is Replay.OUTPUTS and job.has_report
    return deadline_of(job, limits) <= now and not awaits_outputs


def appoint(job: Job, due: Due, limits: Limits) -> Appointed:
    """What is done about one of the jobs that are due."""
    if job.state in FINAL:
        return Appointed((), job.deadline_at, ended=True)
    now, deadline = due.now, deadline_of(job, limits)
    if lives_by_reports(job.state):
        deadline = max(deadline, due.grace_until)
    if is_overdue(job, now, limits) and deadline <= now:
        passed = DeadlinePassed(job_id=job.job_id, state=job.state, version=job.version)
        return Appointed((passed,), now + _grown(_ANNOUNCE_AGAIN_S, now - deadline), overdue=True)
    remind_s = limits.remind_s(job.state)
    if remind_s is None:
        return Appointed((), deadline)
    first = job.entered_at + timedelta(seconds=remind_s)
    if first > now and job.waits_for is None and job.job_id not in due.at_once:
        return Appointed((), _not_after(deadline, first, now))  # this appointment was made in an earlier state
    again = now + _grown((remind_s, remind_s * _PAUSE_GROWS), now - job.entered_at)
    return Appointed(_reminder(job, due.blocks), _not_after(deadline, again, now))


def archive_at(job: Ended, now: datetime) -> datetime | None:
    """When to look at an ended job again; None: it goes to the archive now.

    A job stays until its complete blocks are closed: the Closer finds them by its files.
    """
    if job.deadline_at > now:
        return job.deadline_at
    return now + timedelta(seconds=_BLOCK_AGAIN_S) if job.awaits_closing else None


def _grown(bounds_s: tuple[float, float], waited: timedelta) -> timedelta:
    """A pause as long as the waiting so far, between two bounds: each is twice the one before."""
    shortest, longest = bounds_s
    return timedelta(seconds=min(longest, max(shortest, waited.total_seconds())))


def _not_after(deadline: datetime, when: datetime, now: datetime) -> datetime:
    """`when`, but a deadline that is still to come is looked at in time."""
    return min(deadline, when) if deadline > now else when


def _reminder(job: Job, blocks: Mapping[str, OpenBlock]) -> tuple[Message, ...]:
    """The message that moves the job on and that somebody may have lost."""
    match FACTS[job.state].replay:
        case Replay.EVENT:
            return (event_of(job),)
        case Replay.OUTPUTS if job.verdict is not None:
            return (OutputsAdded(job_id=job.job_id, version=job.version, verdict=job.verdict),)
        case Replay.OUTPUTS if job.has_report:
            return (event_of(job),)
        case Replay.TRANSFERS:
            return _transfers_of(job, blocks)
    return ()  # nobody but the outside can move it, or its blocks are asked about by themselves


def event_of(job: Job) -> JobEvent:
    """The event of the state that the job is in."""
    return JobEvent(
        job_id=job.job_id, version=job.version, state=job.state, trigger="reminder", site=job.site, vo=job.vo,
        task_id=job.task_id,
    )  # fmt: skip


def _transfers_of(job: Job, blocks: Mapping[str, OpenBlock]) -> tuple[TransferRequested, ...]:
    """The requests for its files that are under way, one a block that says from where to where."""
    files: dict[str, list[FileToMove]] = {}
    for file in job.files:
        block = blocks.get(file.block or "")
        if block and block.source and block.destination and file.status is _UNDER_WAY.get(FACTS[job.state].phase):
            files.setdefault(block.name, []).append(to_move(file))
    return tuple(
        request(blocks[name].kind, name, blocks[name].source, blocks[name].destination, found)
        for name, found in files.items()
    )
