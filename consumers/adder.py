"""Adder: registers a holding job's outputs; holding → transferring, or `outputs added` for the Finisher."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

from panda_fsm.errors import ReportError
from panda_fsm.events import AnyMessage, FileToMove, JobEvent, OutputsAdded, TransferRequested
from panda_fsm.handler import Item, Service
from panda_fsm.job import File, Job
from panda_fsm.lifecycle import Trigger
from panda_fsm.outcomes import Advance, Changes, FileChange, Ignore, JobError, Outcome, Record, Reject, Wait
from panda_fsm.ports import AddPlan, PluginRegistry
from panda_fsm.report import OutputFile, parse_report
from panda_fsm.states import FileStatus, FileType, State

EC_ADDER = 200
GIVE_UP_AFTER = 1440
"""Retries of a temporary error, one a minute: a day."""
USER_LABELS = ("user", "panda")
ALLOW_NO_OUTPUT = "an"


@dataclass(slots=True)
class Reading:
    """A job's report, read: what was stored, the files settled by that alone, and what is wrong, if anything."""

    stored: dict[str, OutputFile] = field(default_factory=dict)
    settled: list[FileChange] = field(default_factory=list)
    error: JobError | None = None
    plan: AddPlan = field(default_factory=AddPlan)


class Adder(Service):
    """A temporary error is not a failure: the job stays holding and is tried again."""

    name = "adder"
    asks_outside = True
    needs_files = True
    needs_report = True

    def __init__(self, plugins: PluginRegistry) -> None:
        self._plugins = plugins

    def prepare(self, items: Sequence[Item]) -> None:
        by_vo: dict[str, list[tuple[Job, dict[str, OutputFile]]]] = defaultdict(list)
        readings: dict[int, Reading] = {}
        for item in items:
            job = item.job
            if job is None or job.report is None or job.job_id in readings or not _is_due(item.message, job):
                continue
            readings[job.job_id] = reading = read(job)
            if reading.error is None and job.report_state != "failed":
                by_vo[job.vo].append((job, reading.stored))
        for vo, jobs in by_vo.items():
            for job_id, plan in self._plugins.for_vo(vo).add_outputs(jobs).items():
                readings[job_id].plan = plan
        for item in items:
            item.plan = readings.get(item.job.job_id) if item.job is not None else None

    def decide(self, item: Item) -> Outcome:
        event, job, reading = item.message, item.job, item.plan
        if not isinstance(event, JobEvent) or job is None:
            return Reject(f"adder does not handle {event.msg_type}")
        if not _is_due(event, job):
            return Ignore(f"job is {job.state} at version {job.version}")
        if reading is None:
            return Ignore("the pilot's final report has not come yet")
        if reading.plan.try_later:
            if item.delivery.retries < GIVE_UP_AFTER:
                return Wait(reading.plan.try_later, GIVE_UP_AFTER + 1)
            reading.error = JobError("ddm", EC_ADDER, f"gave up: {reading.plan.try_later}")
        return self._add(job, reading)

    def _add(self, job: Job, reading: Reading) -> Outcome:
        error = reading.error
        if reading.plan.refusal:
            error = JobError("ddm", EC_ADDER, reading.plan.refusal)
        if error is not None or job.report_state == "failed":
            return self._added(job, failed_files(job, reading), (error,) if error else (), succeeded=False)
        changes = (*reading.settled, *reading.plan.files)
        if not reading.plan.transfers:
            return self._added(job, changes, (), succeeded=True)
        files = {file.seq: file for file in job.files}
        requests = tuple(
            TransferRequested(
                block=t.block, kind="sub", source=t.source, destination=t.destination,
                files=[_to_move(files[seq], reading.stored) for seq in t.seqs],
            )
            for t in reading.plan.transfers
        )  # fmt: skip
        return Advance(Trigger.OUTPUTS_MOVING, Changes(files=changes, messages=requests))

    def _added(
        self, job: Job, files: Sequence[FileChange], errors: tuple[JobError, ...], *, succeeded: bool
    ) -> Outcome:
        verdict: Literal["finished", "failed", "cancelled"] = "finished"
        if not succeeded:
            obeyed = job.report_state == "failed" and job.command is not None and "tobekilled" in job.command
            verdict = "cancelled" if obeyed else "failed"
        message = OutputsAdded(job_id=job.job_id, version=job.version, verdict=verdict)
        return Record(Changes(files=tuple(files), errors=errors, verdict=verdict, messages=(message,)))


def _is_due(event: AnyMessage, job: Job) -> bool:
    """Whether the event is news: the outputs were not added yet, and nothing has happened since."""
    fresh = isinstance(event, JobEvent) and event.version == job.version
    return fresh and job.state is State.HOLDING and job.verdict is None


def read(job: Job) -> Reading:
    """Read the job's stored report by the rules of panda-semantics.md §3.6."""
    try:
        reading = Reading(parse_report(job.report))
    except ReportError as error:
        return Reading(error=JobError("ddm", EC_ADDER, str(error)))
    if job.report_state == "failed":
        return reading
    declared = {file.lfn for file in job.files}
    undeclared = sorted(reading.stored.keys() - declared)
    if undeclared:
        reading.error = JobError("ddm", EC_ADDER, f"{undeclared[0]} is not an output of the job")
        return reading
    for file in job.files:
        _settle(file, job, reading)
    return reading


def _settle(file: File, job: Job, reading: Reading) -> None:
    """Files that the report settles by what it lists or leaves out."""
    if not file.is_output:
        if file.lfn in reading.stored and file.type is FileType.INPUT:
            status = FileStatus.SKIPPED if job.label in USER_LABELS else FileStatus.FAILED
            reading.settled.append(FileChange(file.seq, status))
        return
    stored = reading.stored.get(file.lfn)
    if stored is None:
        if ALLOW_NO_OUTPUT in file.token.split(","):
            reading.settled.append(FileChange(file.seq, FileStatus.NO_OUTPUT))
        else:
            reading.error = JobError("ddm", EC_ADDER, f"{file.lfn} is missing in the pilot's report")
    elif not stored.checksum:
        reading.error = JobError("ddm", EC_ADDER, f"{file.lfn} has no checksum in the pilot's report")


def failed_files(job: Job, reading: Reading) -> list[FileChange]:
    """Of a failed job only the log is kept, where the pilot stored it."""
    changes = []
    for file in job.outputs:
        stored = reading.stored.get(file.lfn)
        if file.type is FileType.LOG and stored is not None:
            changes.append(
                FileChange(file.seq, FileStatus.READY, None, stored.guid or None, stored.size, stored.checksum or None)
            )
        else:
            changes.append(FileChange(file.seq, FileStatus.FAILED))
    return changes


def _to_move(file: File, stored: dict[str, OutputFile]) -> FileToMove:
    what = stored[file.lfn]
    return FileToMove.model_construct(lfn=file.lfn, scope=file.scope, size=what.size, checksum=what.checksum)
