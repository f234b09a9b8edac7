"""Reads decisions: jobs with files as a decision finds them, and what an outcome would make of them."""

from __future__ import annotations

from typing import Any

from panda_fsm.effects import Effects
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.machine import Ignored
from panda_fsm.outcomes import Advance, Outcome, Record
from panda_fsm.plans import Go, Plan
from tests import factories


def with_files(state: State, *files: tuple[FileType, FileStatus, str]) -> Job:
    """A job with files (type, status, block), each called after its place."""
    job = factories.job(state)
    job.files = [
        factories.file(seq, kind, f"file.{seq}", status, block=block) for seq, (kind, status, block) in enumerate(files)
    ]
    return job


def applied(outcome: Outcome, job: Job) -> str:
    """The state after an Advance, or what else the outcome is."""
    if not isinstance(outcome, Advance):
        return type(outcome).__name__
    step = Effects().step(job, outcome.trigger, "cause", None)
    return "ignored" if isinstance(step, Ignored) else job.state.value


def changed(outcome: Outcome) -> dict[int, FileStatus]:
    """Statuses that the outcome writes."""
    assert isinstance(outcome, Advance | Record), outcome
    return {change.seq: change.status for change in outcome.changes.files}


def defined(job_id: int, *inputs: str, status: FileStatus = FileStatus.UNKNOWN, block: str = "", **fields: Any) -> Job:
    """A new job with these inputs, an output and a log; both for `block`, unless each has its own."""
    job = factories.job(State.DEFINED, job_id=job_id, **{"version": 1} | fields)
    job.files = [factories.file(seq, FileType.INPUT, lfn, status) for seq, lfn in enumerate(inputs)]
    for kind, lfn in zip((FileType.OUTPUT, FileType.LOG), factories.output_lfns(job_id), strict=True):
        destination_block = block or f"user.lab.{kind.value}.block"
        job.files.append(factories.file(len(job.files), kind, lfn, destination_block=destination_block))
    return job


def going(plan: Plan) -> Go:
    """A plan of a job that goes on."""
    assert isinstance(plan, Go), plan
    return plan
