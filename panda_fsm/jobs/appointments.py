"""Appointments: what the daemon does about a job when its time has come; the one rule for deadlines and reminders."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from operator import itemgetter

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.deadlines import SAID_BY_PILOTS, Activity, Deadline, Since, Unless
from panda_fsm.jobs.facts import FACTS, Limits, Replay
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus, Phase, State
from panda_fsm.messages.ddm import FileToMove, TransferRequested
from panda_fsm.messages.envelope import Message
from panda_fsm.messages.facts import DeadlinePassed, JobEvent, OutputsAdded, schema_of
from panda_fsm.transfers import request, to_move

_ANNOUNCE_AGAIN_S = (60.0, 900.0)
"""A deadline that nobody acted upon is announced again: after a minute, and ever later while the queue is long."""
_PAUSE_GROWS = 4.0
"""Reminders come ever later too, up to so many times the first pause: a long queue must not be fed with them."""
_BLOCK_AGAIN_S = 60.0
_NOTHING_KNOWN: Mapping[Activity, datetime] = {}
_UNDER_WAY = {Phase.PREPARING: FileStatus.PENDING, Phase.POST_PROCESSING: FileStatus.TRANSFERRING}


@dataclass(frozen=True, slots=True)
class Way:
    """Where the files of a block come from and go to."""

    block: str
    kind: BlockKind
    source: str
    destination: str


@dataclass(frozen=True, slots=True)
class Due:
    """Live jobs whose time has come, with the ways of their files by the name of the block.

    Until `grace_until` a pilot's silence may have been ours. `at_once` names jobs that an operator wants reminded of,
    `worker_done` those of which it is known that the worker of their pilot has ended, `last_active` when there was last
    what deadlines of them look at: of that of which `looks_at` says so.
    """

    jobs: Mapping[int, Job]
    ways: Mapping[str, Way]
    now: datetime
    grace_until: datetime
    at_once: frozenset[int] = frozenset()
    worker_done: frozenset[int] = frozenset()
    last_active: Mapping[int, Mapping[Activity, datetime]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Appointed:
    """What is done now, and when to look again. `overdue`: the messages announce a loss or an expiry, and `silent` that
    it is one for its pilot's silence. `ended`: the job is the archive's from now on.
    """

    messages: tuple[Message, ...]
    look_at: datetime
    overdue: bool = False
    silent: bool = False
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
    """What became of ended jobs that were due: how many went, why some cannot, and how many somebody holds."""

    due: int
    gone: int
    trouble: Mapping[int, str]
    held: int = 0


def looks_at(job: Job, now: datetime) -> Iterator[Unless]:
    """What must be known of the activity around the job: deadlines ask, and their time is over."""
    for deadline in FACTS[job.state].deadlines:
        if deadline.unless is None or not deadline.is_for(job.kind):
            continue
        if job.entered_at + timedelta(seconds=deadline.seconds) <= now:
            yield deadline.unless


def asks_again(job: Job, now: datetime) -> int | None:
    """The pause in seconds after which what was said of the blocks of its outputs is said again, if it has been over:
    somebody outside was to do something about them."""
    again = FACTS[job.state].asks_again
    if again is None or job.label not in again.labels or job.entered_at + timedelta(seconds=again.seconds) > now:
        return None
    return again.seconds


def first_end(
    job: Job,
    limits: Limits,
    grace_until: datetime | None = None,
    last_active: Mapping[Activity, datetime] = _NOTHING_KNOWN,
) -> tuple[datetime, Deadline] | None:
    """When the job is overdue, and by which deadline; None: it has ended.

    No silence counts before `grace_until`, and no idleness; `last_active`: when there was last this and that around
    the job.
    """
    return min(_ends(job, limits, grace_until, last_active), key=itemgetter(0), default=None)


def sure_end(job: Job, limits: Limits) -> tuple[datetime, Deadline] | None:
    """The same, whatever goes on around the job; None: it has ended."""
    ends = ((at, one) for at, one in _ends(job, limits, None, _NOTHING_KNOWN) if one.unless is None)
    return min(ends, key=itemgetter(0), default=None)


def unless_active(job: Job, limits: Limits) -> tuple[datetime, Deadline] | None:
    """From when on it may end because nothing goes on around it, and by which deadline, if it has one of that kind."""
    ends = ((at, one) for at, one in _ends(job, limits, None, _NOTHING_KNOWN) if one.unless is not None)
    return min(ends, key=itemgetter(0), default=None)


def _ends(
    job: Job, limits: Limits, grace_until: datetime | None, last_active: Mapping[Activity, datetime]
) -> Iterator[tuple[datetime, Deadline]]:
    kind = job.kind
    for deadline in FACTS[job.state].deadlines:
        if not deadline.is_for(kind):
            continue
        lasts = timedelta(seconds=limits.deadline_s(job.state, deadline))
        passes_at = _passes_at(job, deadline, lasts, grace_until)
        if deadline.unless is not None:
            active = last_active.get(deadline.unless.activity)
            idle_at = passes_at if active is None else active + timedelta(seconds=deadline.unless.seconds)
            passes_at = max(passes_at, idle_at, grace_until or passes_at)
        yield passes_at, deadline


def _passes_at(job: Job, deadline: Deadline, lasts: timedelta, grace_until: datetime | None) -> datetime:
    """`deadline_at` is that of the shortest that counts from what was heard: others like it pass later."""
    match deadline.since:
        case Since.ENTERED:
            return job.entered_at + lasts
        case Since.CREATED:
            return job.created_at + lasts
    if not job.awaits_last_words:
        return job.deadline_at
    heard = job.deadline_at if job.heard_at is None else max(job.deadline_at, job.heard_at + lasts)
    return heard if grace_until is None else max(heard, grace_until)


def overdue_by(job: Job, now: datetime, limits: Limits, missed: frozenset[Activity] = frozenset()) -> Deadline | None:
    """The deadline that has passed, if one has. What is `missed` around the job is the daemon's to say."""
    all_ends = _ends(job, limits, None, _NOTHING_KNOWN)
    ends = ((at, one) for at, one in all_ends if one.unless is None or one.unless.activity in missed)
    end = min(ends, key=itemgetter(0), default=None)
    return end[1] if end is not None and end[0] <= now and not _outputs_are_looked_at(job) else None


def _outputs_are_looked_at(job: Job) -> bool:
    """That it stays where it is then is not the job's fault."""
    return FACTS[job.state].replay is Replay.OUTPUTS and job.has_report


def appoint(job: Job, due: Due, limits: Limits) -> Appointed:
    """What is done about one of the jobs that are due."""
    end = first_end(job, limits, due.grace_until, due.last_active.get(job.job_id, _NOTHING_KNOWN))
    if end is None:
        return Appointed((), job.deadline_at, ended=True)
    now, (deadline, passing) = due.now, end
    if deadline <= now and not _outputs_are_looked_at(job):
        worker_done = True if job.job_id in due.worker_done else None
        missing = None if passing.unless is None else passing.unless.activity
        passed = DeadlinePassed(
            schema_version=schema_of(job.state), job_id=job.job_id, version=job.version, state=job.state,
            worker_done=worker_done, is_idle=True if missing in SAID_BY_PILOTS else None, missing=missing,
        )  # fmt: skip
        is_silent = passing.since is Since.HEARD and job.awaits_last_words
        again = now + _grown(_ANNOUNCE_AGAIN_S, now - deadline)
        return Appointed((passed,), again, overdue=True, silent=is_silent)
    remind_s = limits.remind_s(job.state)
    if remind_s is None:
        return Appointed((), deadline)
    first = job.entered_at + timedelta(seconds=remind_s)
    if first > now and job.waits_for is None and job.job_id not in due.at_once:
        return Appointed((), _not_after(deadline, first, now))  # this appointment was made in an earlier state
    again = now + _grown((remind_s, remind_s * _PAUSE_GROWS), now - job.entered_at)
    return Appointed(_reminder(job, due.ways), _not_after(deadline, again, now))


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


def _reminder(job: Job, ways: Mapping[str, Way]) -> tuple[Message, ...]:
    """The message that moves the job on and that somebody may have lost."""
    match FACTS[job.state].replay:
        case Replay.EVENT:
            return (event_of(job),)
        case Replay.OUTPUTS if job.verdict is not None:
            return (OutputsAdded(job_id=job.job_id, version=job.version, verdict=job.verdict),)
        case Replay.OUTPUTS if job.has_report:
            return (event_of(job),)
        case Replay.TRANSFERS:
            return _transfers_of(job, ways)
    return ()  # nobody but the outside can move it, or its blocks are asked about by themselves


def event_of(job: Job) -> JobEvent:
    """The event of the state that the job is in."""
    return JobEvent(
        schema_version=schema_of(job.state), job_id=job.job_id, version=job.version, state=job.state,
        trigger="reminder", site=job.site, vo=job.vo, task_id=job.task_id,
    )  # fmt: skip


def _transfers_of(job: Job, ways: Mapping[str, Way]) -> tuple[TransferRequested, ...]:
    """The requests for its files that are under way, one a block that says from where to where."""
    files: dict[str, list[FileToMove]] = {}
    for file in job.files:
        way = ways.get(file.block or "")
        if way and way.source and way.destination and file.status is _UNDER_WAY.get(FACTS[job.state].phase):
            files.setdefault(way.block, []).append(to_move(file))
    return tuple(
        request(ways[block].kind, block, ways[block].source, ways[block].destination, found)
        for block, found in files.items()
    )
