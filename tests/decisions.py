"""Reads decisions: jobs with files as a decision finds them, and what an outcome would make of them."""

from __future__ import annotations

from panda_fsm.effects import Effects
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.machine import Ignored
from panda_fsm.outcomes import Advance, Outcome, Record
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
