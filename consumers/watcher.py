"""Watcher: sent → starting → running → holding by pilot reports; ends jobs by kill and by deadline."""

import re
from datetime import UTC, datetime
from typing import Any

from panda_fsm.events import DeadlinePassed, JobEvent, KillJob, OutputsAdded, PilotReport
from panda_fsm.handler import Item, Service
from panda_fsm.job import Job
from panda_fsm.lifecycle import DEADLINES, Trigger
from panda_fsm.outcomes import Advance, Changes, Ignore, JobError, Outcome, Record, Reject, fail
from panda_fsm.states import FINAL, State

TO_BE_KILLED = "tobekilled"
CLOSING_CODES = frozenset({2, 4, 10, 51, 55, 60})
"""Kill codes by which the system ends a job (closed); all others are somebody's wish (cancelled)."""
_KILL_ERRORS = {2: 102, 4: 102, 3: 103, 8: 105, 10: 130}
_KILLED = 100

_BY_REPORT = {
    "starting": Trigger.PILOT_STARTING,
    "running": Trigger.PILOT_RUNNING,
    "holding": Trigger.PILOT_HOLDING,
    "transferring": Trigger.PILOT_HOLDING,
    "finished": Trigger.PILOT_ENDED,
    "failed": Trigger.PILOT_ENDED,
}
_ERROR_FIELDS = {
    "pilot": ("pilot_error_code", "pilot_error_diag"),
    "exe": ("exe_error_code", "exe_error_diag"),
    "trans": ("trans_exit_code", ""),
}
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_KEPT = (
    "node", "pilot_id", "batch_id", "scheduler_id", "core_count", "mean_core_count", "cpu_consumption_time",
    "cpu_consumption_unit", "cpu_conversion_factor", "max_rss", "max_pss", "n_events", "job_metrics", "pilot_timing",
    "start_time", "end_time",
)  # fmt: skip


class Watcher(Service):
    """A pilot's `finished` is not `finished`: it becomes holding, with the report stored for the Adder."""

    name = "watcher"

    def decide(self, item: Item) -> Outcome:
        match item.message, item.job:
            case PilotReport() as report, Job() as job:
                return self._report(report, job)
            case KillJob() as kill, Job() as job:
                return self._kill(kill, job)
            case DeadlinePassed() as deadline, Job() as job:
                return self._deadline(deadline, job)
        return Reject(f"watcher does not handle {item.message.msg_type}")

    def _report(self, report: PilotReport, job: Job) -> Outcome:
        if report.attempt_nr != job.attempt_nr:
            return Ignore(f"attempt {report.attempt_nr} reported, job is at {job.attempt_nr}")
        final = report.state in ("finished", "failed")
        pilot = {key: report.attributes[key] for key in _KEPT if key in report.attributes}
        if job.state in (State.STARTING, State.RUNNING) and report.state in ("starting", job.state.value):
            return Record(Changes(pilot=pilot))
        changes = Changes(
            pilot=pilot,
            errors=_errors(report) if final else (),
            report=_stored(report) if final else None,
        )
        return Advance(_BY_REPORT[report.state], changes)

    def _kill(self, kill: KillJob, job: Job) -> Outcome:
        if job.state in FINAL:
            return Ignore(f"job is already {job.state}")
        reason = f": {kill.reason}" if kill.reason else ""
        error = JobError(
            "task_buffer", _KILL_ERRORS.get(kill.code, _KILLED), f"killed by {kill.actor} with code {kill.code}{reason}"
        )
        if job.state is State.RUNNING and not kill.forced:
            if job.command == TO_BE_KILLED:
                return Ignore("its pilot is told already")
            return Record(Changes(command=TO_BE_KILLED, errors=(error,)))
        job.forced_kill = kill.forced
        trigger = Trigger.CLOSED if kill.code in CLOSING_CODES else Trigger.CANCELLED
        return Advance(trigger, Changes(errors=(error,)), detail=error.diagnostic)

    def _deadline(self, passed: DeadlinePassed, job: Job) -> Outcome:
        if passed.state is not job.state or passed.version != job.version:
            return Ignore(f"job went on to {job.state}")
        if job.deadline_at > datetime.now(UTC):
            return Ignore("a heartbeat came in time")
        if job.state is State.HOLDING and job.has_report:
            return Record(Changes(messages=(_reminder(job),)))  # not the job's fault, and nobody else will ask
        deadline = DEADLINES[job.state]
        return fail(deadline.trigger, deadline.component, deadline.code, deadline.diagnostic)


def _reminder(job: Job) -> JobEvent | OutputsAdded:
    """What the Adder or the Finisher should have had of a holding job."""
    match job.verdict:
        case "finished" | "failed" | "cancelled" as verdict:
            return OutputsAdded(job_id=job.job_id, version=job.version, verdict=verdict)
    return JobEvent(
        job_id=job.job_id, version=job.version, state=job.state, trigger="reminder", site=job.site, vo=job.vo,
        task_id=job.task_id,
    )  # fmt: skip


def _errors(report: PilotReport) -> tuple[JobError, ...]:
    errors = []
    for component, (code_field, diag_field) in _ERROR_FIELDS.items():
        code = str(report.attributes.get(code_field, "")).strip()
        if _NUMBER.fullmatch(code) and int(code) != 0:
            errors.append(JobError(component, int(code), str(report.attributes.get(diag_field, ""))[:500]))
    return tuple(errors)


def _stored(report: PilotReport) -> dict[str, Any]:
    return {
        "job_id": report.job_id,
        "attempt_nr": report.attempt_nr,
        "state": report.state,
        "output_report": report.output_report,
        "attributes": report.attributes,
    }
