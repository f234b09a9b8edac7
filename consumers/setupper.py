"""Setupper: creates jobs; defined → assigned, activated or waiting through the experiment's plugin, and back."""

from collections.abc import Sequence

from panda_fsm.blocks.states import BlockKind
from panda_fsm.codes import Component, DdmCode, TaskBufferCode
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.facts import ENDED_BADLY
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import TO_SET_UP, USABLE_INPUT, FileStatus, FileType, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import AnyMessage, JobEvent, ReassignJob, ReleaseJobs, SubmitJobs
from panda_fsm.outcomes import (
    NO_BLOCK,
    Advance,
    Changes,
    Create,
    Defer,
    FileChange,
    Ignore,
    JobError,
    Outcome,
    Reject,
    fail,
)
from panda_fsm.plans import Go, Later, Park, Plan, Refuse, Unknown, ask_again_s, left_open
from panda_fsm.ports import Experiments
from panda_fsm.transfers import request, to_move

PARKED_S = 600.0
"""What a parked job waits for says so itself; it is asked about now and then, for somebody may have missed that."""
UPSTREAM_S = 120.0
"""The same for a job that waits for another one, whose end wakes it unless it is being looked at just then."""
REASSIGNED_PRIORITY = 100
"""The least that a job has that is set up anew: it waited once already."""


class Setupper(Service[Plan]):
    """A job that cannot be set up now stays defined or waiting and shows why; the deadline of its state is the end."""

    name = "setupper"
    asks_outside = True
    needs_files = True

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments

    def prepare(self, items: Sequence[Item[Plan]]) -> None:
        new = {
            item.job.job_id: item.job
            for item in items
            if item.job is not None and _is_due(item.message, item.job) and _held_up(item.job) is None
        }
        plans = self._experiments.setup(list(new.values())) if new else {}
        for item in items:
            item.prepared = plans.get(item.job.job_id) if item.job is not None else None

    def mistrust(self, job: Job, error: str) -> bool:
        return self._experiments.mistrust(job, error)

    def accuse(self, job: Job, error: str) -> None:
        self._experiments.accuse(job, error)

    def decide(self, item: Item[Plan]) -> Outcome:
        match item.message, item.job:
            case SubmitJobs() as submit, _:
                trigger = Trigger.SUBMITTED_PENDING if submit.to_pending else Trigger.SUBMITTED
                return Create(trigger, submit.owner, submit.jobs)
            case ReleaseJobs() as release, Job():
                return Advance(Trigger.RELEASED, detail=_by(release.actor))
            case ReassignJob() as reassign, Job() as job:
                return _reassign(job, _by(reassign.actor))
            case JobEvent() as event, Job() as job:
                if not _is_due(event, job):
                    return Ignore(f"job is {job.state} at version {job.version}, not {event.version}")
                return _held_up(job) or self._set_up(job, item.prepared)
        return Reject(f"setupper does not handle {item.message.msg_type}")

    def _set_up(self, job: Job, plan: Plan | None) -> Outcome:
        match plan:
            case None:
                return Defer("nobody was asked for a plan", ask_again_s(job))
            case Go():
                return self._go(job, plan)
            case Park(reason):
                return Defer(reason, PARKED_S)
            case Later(reason):
                return Defer(reason, ask_again_s(job))
            case Unknown(reason) if job.state is State.WAITING:
                return Defer(reason, ask_again_s(job))
            case Unknown(reason):
                return Advance(Trigger.INPUTS_UNKNOWN, detail=reason)
            case Refuse(reason, code):
                return fail(Trigger.SETUP_FAILED, Component.DDM, code or DdmCode.SETUPPER, reason)

    def _go(self, job: Job, plan: Go) -> Outcome:
        inputs = [file for file in job.files if file.type is FileType.INPUT]
        forgotten = left_open(inputs, plan.files, plan.transfers, USABLE_INPUT, FileStatus.PENDING)
        if forgotten is not None:
            return Defer(f"the plugin left {forgotten.lfn} unsettled", ask_again_s(job))
        taken = next((block.name for block in plan.blocks if block.name in job.foreign_blocks), None)
        if taken is not None:
            reason = f"block {taken} belongs to another experiment, or is of another kind"
            return fail(Trigger.SETUP_FAILED, Component.DDM, DdmCode.SETUPPER, reason)
        files = {file.seq: file for file in job.files}
        requests = tuple(
            request(one.block.kind, one.block.name, one.block.source, one.block.destination,
                    [to_move(files[seq]) for seq in one.seqs])
            for one in plan.transfers
        )  # fmt: skip
        blocks = (*plan.blocks, *(one.block for one in plan.transfers))
        pins = tuple(block.name for block in plan.blocks if block.kind is BlockKind.DISPATCH)
        changes = Changes(files=tuple(plan.files), blocks=blocks, arrived_blocks=pins, messages=requests)
        return Advance(Trigger.INPUTS_REQUESTED if requests else Trigger.INPUTS_AT_SITE, changes)


def _by(actor: str) -> str | None:
    return f"by {actor}" if actor else None


def _reassign(job: Job, who: str | None) -> Outcome:
    """Back to the beginning. Its files leave their blocks, so that what is said of these later is not about it."""
    if job.state is State.PENDING:
        return Advance(Trigger.RELEASED, detail=who)
    files = tuple(
        FileChange(file.seq, file.status if file.is_output else FileStatus.UNKNOWN, NO_BLOCK)
        for file in job.files
        if file.block is not None
    )
    changes = Changes(files=files, priority=max(job.priority, REASSIGNED_PRIORITY))
    return Advance(Trigger.REASSIGNED, changes, who)


def _held_up(job: Job) -> Outcome | None:
    """Why the job cannot be set up as long as others have not ended, or ever."""
    for one in job.upstream:
        if one.state in ENDED_BADLY:
            reason = f"upstream job failed: {one.job_id} is {one.state}"
            error = JobError(Component.TASK_BUFFER, TaskBufferCode.KILLED, reason)
            return Advance(Trigger.UPSTREAM_FAILED, Changes(errors=(error,)), reason)
    for one in job.upstream:
        if one.state is not State.FINISHED:
            return Defer(f"waits for job {one.job_id}, which makes what it reads", UPSTREAM_S)
    return None


def _is_due(message: AnyMessage, job: Job) -> bool:
    """Whether it is news: a redelivered event must not bring a job that went on into a bunch with fresh ones."""
    is_new = job.state in TO_SET_UP
    return is_new and isinstance(message, JobEvent) and message.version == job.version
