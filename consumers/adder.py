"""Adder: registers a holding job's outputs; holding → transferring, or `outputs added` for the Finisher."""

import time
from collections.abc import Sequence
from dataclasses import replace

from consumers.reading import Reading, failed_files, has_patterns, read
from panda_fsm.codes import Component, DdmCode, Verdict
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import SETTLED_OUTPUT, FileStatus, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import AnyMessage, FileToMove, JobEvent, OutputsAdded
from panda_fsm.outcomes import Advance, Changes, Defer, Ignore, JobError, Outcome, Record, Reject
from panda_fsm.plans import Go, Later, Park, Refuse, ask_again_s, left_open, waited_s
from panda_fsm.ports import Experiments
from panda_fsm.transfers import request, to_move

GIVE_UP_S = 24 * 3600.0
"""How long outputs that cannot be registered keep their job holding."""
PATTERNS_S = 10.0
"""So long a batch compares users' patterns: jobs with slow ones have their turn one after another, and hold up few."""


class Adder(Service[Reading]):
    """A temporary error is not a failure: the job stays holding and is tried again."""

    name = "adder"
    asks_outside = True
    needs_files = True
    needs_report = True

    def __init__(self, experiments: Experiments) -> None:
        self._experiments = experiments

    def prepare(self, items: Sequence[Item[Reading]]) -> None:
        readings: dict[int, Reading] = {}
        good: list[tuple[Job, dict[str, OutputFile]]] = []
        until = time.monotonic() + PATTERNS_S
        for item in items:
            job = item.job
            if job is None or job.report is None or job.job_id in readings or not _is_due(item.message, job):
                continue
            if has_patterns(job) and time.monotonic() > until:
                readings[job.job_id] = Reading(job, plan=Later("the patterns of others take long"))
                continue
            readings[job.job_id] = reading = read(job)
            if reading.is_good:
                good.append((reading.job, reading.stored))
        for job_id, plan in (self._experiments.add_outputs(good) if good else {}).items():
            readings[job_id].plan = plan
        for item in items:
            item.prepared = readings.get(item.job.job_id) if item.job is not None else None

    def decide(self, item: Item[Reading]) -> Outcome:
        event, job, reading = item.message, item.job, item.prepared
        if not isinstance(event, JobEvent) or job is None:
            return Reject(f"adder does not handle {event.msg_type}")
        if not _is_due(event, job):
            return Ignore(f"job is {job.state} at version {job.version}")
        if reading is None:
            return Ignore("the pilot's final report has not come yet")
        if not reading.is_good:
            return self._failed(job, reading, reading.wrong)
        match reading.plan:
            case Go() as plan:
                return self._go(job, reading, plan)
            case Park(reason) | Later(reason):
                return self._later(job, reading, reason)
            case Refuse(reason):
                return self._failed(job, reading, reason)

    def _go(self, job: Job, reading: Reading, plan: Go) -> Outcome:
        settled = (*reading.settled, *plan.files)
        forgotten = left_open(reading.job.outputs, settled, plan.transfers, SETTLED_OUTPUT, FileStatus.TRANSFERRING)
        if forgotten is not None:
            return self._later(job, reading, f"the plugin left {forgotten.lfn} unsettled")
        changes = Changes(new_files=reading.new_files, files=settled, blocks=tuple(plan.blocks))
        if not plan.transfers:
            return _added(job, Verdict.FINISHED, changes)
        files = {file.seq: file for file in reading.job.files}
        requests = tuple(
            request(one.block.kind, one.block.name, one.block.source, one.block.destination,
                    [_to_move(files[seq], reading.stored) for seq in one.seqs])
            for one in plan.transfers
        )  # fmt: skip
        blocks = (*plan.blocks, *(one.block for one in plan.transfers))
        return Advance(Trigger.OUTPUTS_MOVING, replace(changes, blocks=blocks, messages=requests))

    def _later(self, job: Job, reading: Reading, reason: str) -> Outcome:
        if waited_s(job) < GIVE_UP_S:
            return Defer(reason, ask_again_s(job))
        return self._failed(job, reading, f"gave up after {GIVE_UP_S / 3600:.0f} h: {reason}")

    def _failed(self, job: Job, reading: Reading, reason: str | None) -> Outcome:
        obeyed = job.report_state == "failed" and job.command is not None and "tobekilled" in job.command
        told = reason is None or (reading.unreadable and job.pilot_erred)
        errors = () if told else (JobError(Component.DDM, DdmCode.ADDER, str(reason)),)
        changes = Changes(new_files=reading.new_files, files=tuple(failed_files(reading)), errors=errors)
        return _added(job, Verdict.CANCELLED if obeyed else Verdict.FAILED, changes)


def _added(job: Job, verdict: Verdict, changes: Changes) -> Outcome:
    message = OutputsAdded(job_id=job.job_id, version=job.version, verdict=verdict)
    return Record(replace(changes, verdict=verdict, messages=(message,)))


def _is_due(event: AnyMessage, job: Job) -> bool:
    """Whether the event is news: the outputs were not added yet, and nothing has happened since."""
    fresh = isinstance(event, JobEvent) and event.version == job.version
    return fresh and job.state is State.HOLDING and job.verdict is None


def _to_move(file: File, stored: dict[str, OutputFile]) -> FileToMove:
    """As its pilot reported it; a file that was not reported, as it was planned."""
    what = stored.get(file.lfn)
    return to_move(file) if what is None else to_move(file, what.size, what.checksum)
