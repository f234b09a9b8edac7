"""Adder: registers a holding job's outputs; holding → transferring, or `outputs added` for the Finisher."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from panda_fsm.codes import Component, DdmCode, Verdict
from panda_fsm.errors import ReportError
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.report import OutputFile, parse_report
from panda_fsm.jobs.states import SETTLED_OUTPUT, FileStatus, FileType, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import AnyMessage, FileToMove, JobEvent, OutputsAdded
from panda_fsm.outcomes import Advance, Changes, Defer, FileChange, Ignore, JobError, NewBlock, Outcome, Record, Reject
from panda_fsm.plans import Go, Later, Park, Plan, Refuse, ask_again_s, left_open, waited_s
from panda_fsm.ports import Experiments
from panda_fsm.transfers import request, to_move

GIVE_UP_S = 24 * 3600.0
"""How long outputs that cannot be registered keep their job holding."""
USER_LABELS = ("user", "panda")
ALLOW_NO_OUTPUT = "an"
_NOT_ASKED = Later("the plugin was not asked")


@dataclass(slots=True)
class Reading:
    """A job's report, read: what was stored, the files settled by that alone, and what is wrong, if anything.

    `plan` is the plugin's, which is asked where nothing is wrong and the pilot succeeded.
    """

    stored: dict[str, OutputFile] = field(default_factory=dict)
    settled: list[FileChange] = field(default_factory=list)
    error: JobError | None = None
    plan: Plan = _NOT_ASKED


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
        for item in items:
            job = item.job
            if job is None or job.report is None or job.job_id in readings or not _is_due(item.message, job):
                continue
            readings[job.job_id] = reading = read(job)
            if reading.error is None and job.report_state != "failed":
                good.append((job, reading.stored))
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
        if reading.error is not None or job.report_state == "failed":
            return self._failed(job, reading, reading.error)
        match reading.plan:
            case Go() as plan:
                return self._go(job, reading, plan)
            case Park(reason) | Later(reason):
                return self._later(job, reading, reason)
            case Refuse(reason):
                return self._failed(job, reading, _error(reason))

    def _go(self, job: Job, reading: Reading, plan: Go) -> Outcome:
        changes = (*reading.settled, *plan.files)
        forgotten = left_open(job.outputs, changes, plan.transfers, SETTLED_OUTPUT, FileStatus.TRANSFERRING)
        if forgotten is not None:
            return self._later(job, reading, f"the plugin left {forgotten.lfn} unsettled")
        if not plan.transfers:
            return self._added(job, Verdict.FINISHED, changes, tuple(plan.blocks))
        files = {file.seq: file for file in job.files}
        requests = tuple(
            request(one.block.kind, one.block.name, one.block.source, one.block.destination,
                    [_to_move(files[seq], reading.stored) for seq in one.seqs])
            for one in plan.transfers
        )  # fmt: skip
        blocks = (*plan.blocks, *(one.block for one in plan.transfers))
        return Advance(Trigger.OUTPUTS_MOVING, Changes(files=changes, blocks=blocks, messages=requests))

    def _later(self, job: Job, reading: Reading, reason: str) -> Outcome:
        if waited_s(job) < GIVE_UP_S:
            return Defer(reason, ask_again_s(job))
        return self._failed(job, reading, _error(f"gave up after {GIVE_UP_S / 3600:.0f} h: {reason}"))

    def _failed(self, job: Job, reading: Reading, error: JobError | None) -> Outcome:
        obeyed = job.report_state == "failed" and job.command is not None and "tobekilled" in job.command
        verdict = Verdict.CANCELLED if obeyed else Verdict.FAILED
        return self._added(job, verdict, failed_files(job, reading), errors=(error,) if error else ())

    def _added(
        self, job: Job, verdict: Verdict, files: Sequence[FileChange], blocks: tuple[NewBlock, ...] = (),
        errors: tuple[JobError, ...] = (),
    ) -> Outcome:  # fmt: skip
        message = OutputsAdded(job_id=job.job_id, version=job.version, verdict=verdict)
        return Record(Changes(files=tuple(files), blocks=blocks, errors=errors, verdict=verdict, messages=(message,)))


def _is_due(event: AnyMessage, job: Job) -> bool:
    """Whether the event is news: the outputs were not added yet, and nothing has happened since."""
    fresh = isinstance(event, JobEvent) and event.version == job.version
    return fresh and job.state is State.HOLDING and job.verdict is None


def _error(diagnostic: str) -> JobError:
    return JobError(Component.DDM, DdmCode.ADDER, diagnostic)


def read(job: Job) -> Reading:
    """Read the job's stored report by the rules of docs/semantics.md §3.6."""
    try:
        reading = Reading(parse_report(job.report))
    except ReportError as error:
        return Reading(error=_error(str(error)))
    if job.report_state == "failed":
        return reading
    declared = {file.lfn for file in job.files}
    undeclared = sorted(reading.stored.keys() - declared)
    if undeclared:
        reading.error = _error(f"{undeclared[0]} is not an output of the job")
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
            reading.error = _error(f"{file.lfn} is missing in the pilot's report")
    elif not stored.checksum:
        reading.error = _error(f"{file.lfn} has no checksum in the pilot's report")


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
    """As its pilot reported it; a file that was not reported, as it was planned."""
    what = stored.get(file.lfn)
    return to_move(file) if what is None else to_move(file, what.size, what.checksum)
