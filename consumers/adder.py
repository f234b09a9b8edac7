"""Adder: registers a holding job's outputs; holding → transferring or merging, or `outputs added` for the Finisher."""

import time
from collections.abc import Sequence
from typing import Any

from consumers.reading import TAKES_LONG, Reading, failed_files, has_patterns, read
from panda_fsm.codes import Component, DdmCode, Verdict
from panda_fsm.handler import Item, Service
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.kills import TO_BE_KILLED
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import SETTLED_OUTPUT, FileStatus, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import AnyMessage, FileToMove, JobEvent, Message, OutputsAdded
from panda_fsm.outcomes import (
    Advance,
    Changes,
    Defer,
    FileChange,
    Ignore,
    JobError,
    NewBlock,
    Outcome,
    Record,
    Reject,
)
from panda_fsm.plans import Go, Later, Park, Refuse, ask_again_s, left_open, waited_s
from panda_fsm.ports import Experiments
from panda_fsm.statuses import EVENTS_OF_FILES
from panda_fsm.transfers import request, to_move

GIVE_UP_S = 24 * 3600.0
"""How long outputs that cannot be registered keep their job holding."""
GIVE_UP_LOG_S = 3600.0
"""How long the log of a job that fails keeps it from that."""
PATTERNS_S, READ_S = 10.0, 30.0
"""So long a batch compares users' patterns, and reads reports at all: what is slow has its turn one after another."""

_UNEXPLAINED = "its pilot reported a failure and no reason"
"""No job fails without an error."""

_LEFT_TO_OTHERS = SETTLED_OUTPUT | {FileStatus.MERGING}


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
        begun = time.monotonic()
        for item in items:
            job = item.job
            if job is None or job.report is None or job.job_id in readings or not _is_due(item.message, job):
                continue
            # The first has its turn however long it takes, so all have it in the end.
            limit_s = PATTERNS_S if has_patterns(job) else READ_S
            has_turn = not job.report_waits and (not readings or time.monotonic() - begun <= limit_s)
            readings[job.job_id] = read(job, self._experiments.refusal) if has_turn else Reading(job, plan=TAKES_LONG)
        self._ask_about_outputs([one for one in readings.values() if one.is_good and not one.is_put_off])
        for reading in readings.values():
            _judge(reading)
        self._ask_about_logs([one for one in readings.values() if not one.is_good and one.log])
        for item in items:
            item.prepared = readings.get(item.job.job_id) if item.job is not None else None

    def _ask_about_outputs(self, readings: Sequence[Reading]) -> None:
        if readings:
            plans = self._experiments.add_outputs([(reading.job, reading.stored) for reading in readings])
            for reading in readings:
                reading.plan = plans[reading.job.job_id]

    def _ask_about_logs(self, readings: Sequence[Reading]) -> None:
        if readings:
            plans = self._experiments.keep_logs([(reading.job, reading.log) for reading in readings])
            for reading in readings:
                reading.log_plan = plans[reading.job.job_id]

    def mistrust(self, job: Job, error: str) -> bool:
        return self._experiments.mistrust(job, error)

    def accuse(self, job: Job, error: str) -> None:
        self._experiments.accuse(job, error)

    def decide(self, item: Item[Reading]) -> Outcome:
        event, job, reading = item.message, item.job, item.prepared
        if not isinstance(event, JobEvent) or job is None:
            return Reject(f"adder does not handle {event.msg_type}")
        if not _is_due(event, job):
            return Ignore(f"job is {job.state} at version {job.version}")
        if reading is None:
            return Ignore("the pilot's final report has not come yet")
        if reading.is_put_off:
            return Defer(TAKES_LONG.reason, ask_again_s(job))
        if not reading.is_good:
            return self._failed(job, reading)
        match reading.plan:
            case Go() as plan:
                return self._go(job, reading, plan)
            case Later(reason, (_, *_) as files):
                return Defer(reason, ask_again_s(job), Changes(new_files=reading.new_files, files=files))
            case plan:
                return Defer(plan.reason, ask_again_s(job))

    def _go(self, job: Job, reading: Reading, plan: Go) -> Outcome:
        settled = (*reading.settled, *plan.files)
        blocks, requests = _moves(reading, plan)
        if not plan.transfers and not any(change.status is FileStatus.MERGING for change in settled):
            return _added(job, Verdict.FINISHED, reading, settled, blocks=blocks)
        # What its pilot said of the job was of its run.
        said = {"job_sub_status": ""} | _events(reading)
        changes = Changes(reading.new_files, settled, blocks, messages=requests, pilot=said)
        return Advance(Trigger.OUTPUTS_MOVING if plan.transfers else Trigger.OUTPUTS_MERGING, changes)

    def _failed(self, job: Job, reading: Reading) -> Outcome:
        plan, lost = reading.log_plan, None
        if isinstance(plan, Later | Park) and waited_s(job) < GIVE_UP_LOG_S:
            return Defer(f"its log: {plan.reason}", ask_again_s(job))
        if plan is not None and not isinstance(plan, Go):
            lost = f"its log is not kept: {plan.reason}"
        told = reading.unreadable and (job.pilot_erred or job.has_erred)
        reason = "; ".join(filter(None, (None if told else reading.wrong, lost)))
        errors = (JobError(Component.DDM, reading.code or DdmCode.ADDER, reason),) if reason else ()
        # Whether its pilot obeyed, or finished first and what it made is of no use.
        killed = job.command == TO_BE_KILLED
        if not errors and not killed and not job.pilot_erred and not job.has_erred:
            errors = (JobError(Component.DDM, DdmCode.ADDER, _UNEXPLAINED),)
        blocks, requests = _moves(reading, plan) if isinstance(plan, Go) else ((), ())
        verdict = Verdict.CANCELLED if killed else Verdict.FAILED
        return _added(job, verdict, reading, tuple(failed_files(reading)), errors, blocks, requests)


def _judge(reading: Reading) -> None:
    """What the plugin's plan comes to: the end, where it refuses, or where it has been put off for too long."""
    job, plan = reading.job, reading.plan
    if not reading.is_good and not reading.is_put_off:
        return
    if isinstance(plan, Refuse):
        reading.wrong, reading.code = plan.reason, plan.code
        return
    if isinstance(plan, Go):
        settled = (*reading.settled, *plan.files)
        forgotten = left_open(job.outputs, settled, plan.transfers, _LEFT_TO_OTHERS, FileStatus.TRANSFERRING)
        if forgotten is None:
            return
        reading.plan = plan = Later(f"the plugin left {forgotten.lfn} unsettled")
    if waited_s(job) >= GIVE_UP_S:
        reading.wrong = f"gave up after {GIVE_UP_S / 3600:.0f} h: {plan.reason}"


def _moves(reading: Reading, plan: Go) -> tuple[tuple[NewBlock, ...], tuple[Message, ...]]:
    """The blocks of a plan, and what is asked of the DDM for its transfers."""
    if not plan.transfers:
        return plan.blocks, ()
    files = {file.seq: file for file in reading.job.files}
    requests = tuple(
        request(one.block.kind, one.block.name, one.block.source, one.block.destination,
                [_to_move(files[seq], reading.stored) for seq in one.seqs])
        for one in plan.transfers
    )  # fmt: skip
    return (*plan.blocks, *(one.block for one in plan.transfers)), requests


def _added(
    job: Job,
    verdict: Verdict,
    reading: Reading,
    files: tuple[FileChange, ...],
    errors: tuple[JobError, ...] = (),
    blocks: tuple[NewBlock, ...] = (),
    requests: tuple[Message, ...] = (),
) -> Outcome:
    messages = (*requests, OutputsAdded(job_id=job.job_id, version=job.version, verdict=verdict))
    said = _events(reading) if verdict is Verdict.FINISHED else {}
    changes = Changes(reading.new_files, files, blocks, errors=errors, messages=messages, verdict=verdict, pilot=said)
    return Record(changes)


def _events(reading: Reading) -> dict[str, Any]:
    """What only JEDI is told of a job."""
    return {EVENTS_OF_FILES: reading.events} if reading.job.is_jedis and reading.events else {}


def _is_due(event: AnyMessage, job: Job) -> bool:
    """Whether the event is news: the outputs were not added yet, and nothing has happened since."""
    fresh = isinstance(event, JobEvent) and event.version == job.version
    return fresh and job.state is State.HOLDING and job.verdict is None


def _to_move(file: File, stored: dict[str, OutputFile]) -> FileToMove:
    """As its pilot reported it; a file that was not reported, as it was planned."""
    what = stored.get(file.lfn)
    return to_move(file) if what is None else to_move(file, what.size, what.checksum)
