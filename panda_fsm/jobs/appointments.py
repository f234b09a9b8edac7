"""Appointments: what the clock does about a job when its time has come; the one rule for deadlines and reminders."""

from dataclasses import dataclass
from datetime import datetime, timedelta

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.facts import FACTS, FINAL, Limits, Replay
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus, Phase
from panda_fsm.messages.ddm import FileToMove, TransferRequested
from panda_fsm.messages.envelope import Message
from panda_fsm.messages.facts import CheckBlock, DeadlinePassed, JobEvent, OutputsAdded
from panda_fsm.transfers import request, to_move

_ANNOUNCE_AGAIN_S = (60.0, 900.0)
"""A deadline that nobody acted upon is announced again: after a minute, and ever later while the queue is long."""
_UNDER_WAY = {Phase.PREPARING: FileStatus.PENDING, Phase.POST_PROCESSING: FileStatus.TRANSFERRING}


@dataclass(frozen=True, slots=True)
class Appointed:
    """What is done now, and when to look again. `overdue`: the messages announce a loss or an expiry."""

    messages: tuple[Message, ...]
    look_at: datetime
    overdue: bool = False
    archive: bool = False


@dataclass(frozen=True, slots=True)
class OpenBlock:
    """A block under way: where its files come from and go to."""

    name: str
    kind: BlockKind
    source: str
    destination: str


def deadline_of(job: Job, limits: Limits) -> datetime:
    """When the job is overdue: from its entry or, where heartbeats count, from the last that anybody acknowledged."""
    seconds = limits.deadline_s(job.state)
    if seconds is None or job.heard_at is None or not FACTS[job.state].heartbeats:
        return job.deadline_at
    return max(job.deadline_at, job.heard_at + timedelta(seconds=seconds))


def is_overdue(job: Job, now: datetime, limits: Limits) -> bool:
    """Whether its time is up; not while its outputs are still looked at, which is not the job's fault."""
    awaits_outputs = FACTS[job.state].replay is Replay.OUTPUTS and job.has_report
    return deadline_of(job, limits) <= now and not awaits_outputs


def appoint(job: Job, blocks: dict[str, OpenBlock], now: datetime, grace_until: datetime, limits: Limits) -> Appointed:
    """What is due for a job that the clock meets.

    `blocks` holds the open blocks of its files by name; of a final job only those in which no file is to come any more.
    Until `grace_until` a pilot's silence may have been ours.
    """
    if job.state in FINAL:
        open_blocks = any(file.block in blocks for file in job.files)
        if job.deadline_at <= now:
            return Appointed(_reminder(job, blocks), now + timedelta(seconds=60), archive=not open_blocks)
        return Appointed(_reminder(job, blocks) if open_blocks else (), job.deadline_at)
    deadline = deadline_of(job, limits)
    if FACTS[job.state].heartbeats or FACTS[job.state].phase is Phase.WITH_PILOT:
        deadline = max(deadline, grace_until)
    if deadline <= now:
        return _overdue(job, blocks, now, deadline)
    reminder = limits.remind_s(job.state)
    if reminder is None:
        return Appointed((), deadline)
    return Appointed(_reminder(job, blocks), min(deadline, now + timedelta(seconds=reminder)))


def _overdue(job: Job, blocks: dict[str, OpenBlock], now: datetime, deadline: datetime) -> Appointed:
    shortest, longest = _ANNOUNCE_AGAIN_S
    again = now + timedelta(seconds=min(longest, max(shortest, (now - deadline).total_seconds())))
    if FACTS[job.state].replay is Replay.OUTPUTS and job.has_report:
        return Appointed(_reminder(job, blocks), again)  # not the job's fault: its outputs are still looked at
    passed = DeadlinePassed(job_id=job.job_id, state=job.state, version=job.version)
    return Appointed((passed,), again, overdue=True)


def _reminder(job: Job, blocks: dict[str, OpenBlock]) -> tuple[Message, ...]:
    """The message that moves the job on and that somebody may have lost."""
    match FACTS[job.state].replay:
        case Replay.NOTHING:
            return ()
        case Replay.EVENT:
            return (event_of(job),)
        case Replay.OUTPUTS if job.verdict is not None:
            return (OutputsAdded(job_id=job.job_id, version=job.version, verdict=job.verdict),)
        case Replay.OUTPUTS:
            return (event_of(job),) if job.has_report else ()
        case Replay.TRANSFERS:
            return _transfers_of(job, blocks)
        case Replay.BLOCKS:
            return (CheckBlock(job_id=job.job_id),)


def event_of(job: Job) -> JobEvent:
    """The event of the state that the job is in."""
    return JobEvent(
        job_id=job.job_id, version=job.version, state=job.state, trigger="reminder", site=job.site, vo=job.vo,
        task_id=job.task_id,
    )  # fmt: skip


def _transfers_of(job: Job, blocks: dict[str, OpenBlock]) -> tuple[TransferRequested, ...]:
    """The requests for its files that are under way, one a block."""
    files: dict[str, list[FileToMove]] = {}
    for file in job.files:
        if file.status is _UNDER_WAY.get(FACTS[job.state].phase) and file.block in blocks:
            files.setdefault(str(file.block), []).append(to_move(file))
    return tuple(
        request(blocks[name].kind, name, blocks[name].source, blocks[name].destination, found)
        for name, found in files.items()
    )
