"""Watcher: sent → starting → running → holding by pilot reports; ends jobs by kill and by deadline."""

import re
from datetime import UTC, datetime
from typing import Any

from panda_fsm.codes import Component
from panda_fsm.handler import Item, Service
from panda_fsm.jobs import kills
from panda_fsm.jobs.appointments import is_overdue
from panda_fsm.jobs.facts import FACTS, Limits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import Phase, State
from panda_fsm.jobs.table import DEADLINE_TRIGGER, Trigger
from panda_fsm.messages import DeadlinePassed, KillJob, PilotReport
from panda_fsm.outcomes import Advance, Changes, Ignore, JobError, Outcome, Record, Reject, fail

_BY_REPORT = {
    "starting": Trigger.PILOT_STARTING,
    "running": Trigger.PILOT_RUNNING,
    "holding": Trigger.PILOT_HOLDING,
    "transferring": Trigger.PILOT_HOLDING,
    "finished": Trigger.PILOT_ENDED,
    "failed": Trigger.PILOT_ENDED,
}
_ERROR_FIELDS = {
    Component.PILOT: ("pilot_error_code", "pilot_error_diag"),
    Component.EXE: ("exe_error_code", "exe_error_diag"),
    Component.TRANS: ("trans_exit_code", ""),
}
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_KEPT = (
    "node", "pilot_id", "batch_id", "scheduler_id", "core_count", "mean_core_count", "cpu_consumption_time",
    "cpu_consumption_unit", "cpu_conversion_factor", "max_rss", "max_pss", "n_events", "job_metrics", "pilot_timing",
    "start_time", "end_time",
)  # fmt: skip


class Watcher(Service[None]):
    """A pilot's `finished` is not `finished`: it becomes holding, with the report stored for the Adder."""

    name = "watcher"

    def __init__(self, limits: Limits) -> None:
        self._limits = limits

    def decide(self, item: Item[None]) -> Outcome:
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
        if not final and _says_nothing_new(report, job):
            return Record(Changes(pilot=pilot), renews=True)
        changes = Changes(
            pilot=pilot,
            errors=_errors(report) if final else (),
            report=_stored(report) if final else None,
        )
        return Advance(_BY_REPORT[report.state], changes)

    def _kill(self, kill: KillJob, job: Job) -> Outcome:
        reason = f": {kill.reason}" if kill.reason else ""
        diagnostic = f"killed by {kill.actor} with code {kill.code}{reason}"
        error = JobError(Component.TASK_BUFFER, kills.error_code(kill.code), diagnostic)
        match kills.effect(job.state, job.command, kill.forced):
            case kills.Kill.NOTHING:
                return Ignore(f"job is {job.state}, its pilot told: {job.command}")
            case kills.Kill.ASK_PILOT:
                return Record(Changes(command=kills.TO_BE_KILLED, errors=(error,)))
        job.forced_kill = kill.forced
        return Advance(kills.trigger(kill.code), Changes(errors=(error,)), detail=diagnostic)

    def _deadline(self, passed: DeadlinePassed, job: Job) -> Outcome:
        if passed.state is not job.state or passed.version != job.version:
            return Ignore(f"job went on to {job.state}")
        deadline = FACTS[job.state].deadline
        if deadline is None or not is_overdue(job, datetime.now(UTC), self._limits):
            return Ignore("a heartbeat came in time, or its outputs are still looked at")
        diagnostic = f"{deadline.diagnostic} ({job.waits_for})" if job.waits_for else deadline.diagnostic
        return fail(DEADLINE_TRIGGER[job.state], deadline.component, deadline.code, diagnostic)


def _says_nothing_new(report: PilotReport, job: Job) -> bool:
    """A heartbeat: the state the job is in, or one before it, from the pilot that has it."""
    if FACTS[job.state].phase is Phase.WITH_PILOT:
        return report.state == job.state.value or (report.state == "starting" and job.state is State.RUNNING)
    return job.state is State.HOLDING and not job.has_report


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
