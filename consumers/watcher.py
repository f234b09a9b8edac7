"""Watcher: sent → starting → running → holding by pilot reports; ends jobs by kill and deadline; holds them back."""

import re
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from panda_fsm.codes import Component, DispatcherCode, SupCode, error_of_kill
from panda_fsm.handler import Item, Service
from panda_fsm.held_tasks import TaskHold
from panda_fsm.jobs import kills, pilot_commands
from panda_fsm.jobs.appointments import overdue_by
from panda_fsm.jobs.commands import may_be_told
from panda_fsm.jobs.deadlines import Deadline
from panda_fsm.jobs.facts import FACTS, FINAL, Limits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.samples import sample
from panda_fsm.jobs.states import Phase, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import (
    DeadlinePassed,
    HoldTask,
    KillJob,
    PilotReport,
    SetPause,
    SetPriority,
    SetShare,
    TellPilot,
    ThrottleJobs,
)
from panda_fsm.outcomes import Advance, Changes, Hold, Ignore, JobError, Outcome, Pause, Record, Reject

_BY_REPORT = {
    "starting": Trigger.PILOT_STARTING,
    "running": Trigger.PILOT_RUNNING,
    "holding": Trigger.PILOT_HOLDING,
    "transferring": Trigger.PILOT_TRANSFERRING,
    "finished": Trigger.PILOT_ENDED,
    "failed": Trigger.PILOT_ENDED,
}
_NUMBER = re.compile(r"-?[0-9]{1,18}")
_ERROR_FIELDS = {
    component: (f"{component}_error_code", f"{component}_error_diag")
    for component in Component
    if component not in (Component.TRANS, Component.KILL)
} | {Component.TRANS: ("trans_exit_code", "")}
_ERROR_NAMES = frozenset(name for fields in _ERROR_FIELDS.values() for name in fields)
_KEPT_ELSEWHERE = _ERROR_NAMES - {"trans_exit_code"} | {
    "metadata", "pilot_log", "timestamp", "site_name", "stdout",
}  # fmt: skip
"""Not among the job's own values: errors have their column, the large texts have places of their own."""
_CLOSED_BY_PILOT = "pilot_closed"


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
            case TellPilot() as tell, Job() as job:
                return _tell(tell, job)
            case ThrottleJobs() as held, Job() as job:
                return _throttle(held, job)
            case SetPriority() as wanted, Job() as job:
                return _set(job, Changes(priority=wanted.priority))
            case SetShare() as wanted, Job() as job:
                return _set(job, Changes(gshare=wanted.gshare))
            case SetPause() as wanted, _:
                return Pause(wanted)
            case HoldTask() as wanted, _:
                return Hold(TaskHold(wanted.task_id, wanted.is_held, wanted.actor))
        return Reject(f"watcher does not handle {item.message.msg_type}")

    def _report(self, report: PilotReport, job: Job) -> Outcome:
        if report.attempt_nr not in (None, job.attempt_nr):
            return Ignore(f"attempt {report.attempt_nr} reported, job is at {job.attempt_nr}")
        if report.returns not in (None, job.returns):
            return Ignore("reported by a pilot that had lost the job meanwhile")
        if report.foreign_batch:
            if job.state in FINAL:
                return Ignore("reported from another batch of a job that has ended meanwhile")
            diagnostic = f"got an update of another batch: {report.attributes.get('batch_id', '')}"
            return Record(Changes(errors=(JobError(Component.SUP, SupCode.INVALID_BATCH_ID, diagnostic),)))
        final = report.state in ("finished", "failed")
        pilot = {name: value for name, value in report.attributes.items() if name not in _KEPT_ELSEWHERE}
        changes = Changes(
            pilot=pilot,
            errors=_errors(report),
            report=_stored(report, job) if final else None,
            sample=None if final else sample(report.attributes),
            stdout=_shown(report, "stdout"),
            metadata=None if final else _shown(report, "metadata"),
            command=pilot_commands.without(job.command, report.told),
        )
        if not final and _says_nothing_new(report, job):
            return Record(changes, renews=True)
        if report.state == "failed" and pilot.get("job_sub_status") == _CLOSED_BY_PILOT and job.awaits_last_words:
            return _closed_by_pilot(job, changes)
        return Advance(_BY_REPORT[report.state], changes)

    def _kill(self, kill: KillJob, job: Job) -> Outcome:
        reason = f": {kill.reason}" if kill.reason else ""
        diagnostic = f"killed by {kill.actor} with code {kill.code}{reason}"
        error = JobError(Component.TASK_BUFFER, error_of_kill(kill.code), diagnostic)
        note = JobError(Component.KILL, error.code, diagnostic)
        wish: dict[str, Any] = {"keep_unmerged": True} if kill.keep_unmerged else {}
        match kills.effect(job.state, job.command, kill.code, kill.forced):
            case kills.Kill.NOTHING:
                return Ignore(f"job is {job.state}, its pilot told: {job.command}")
            case kills.Kill.ASK_PILOT:
                return Record(Changes(command=kills.TO_BE_KILLED, errors=(note,), pilot=wish))
        job.forced_kill = kill.forced
        # People read the name; the history says for sure who it was.
        detail = f"{diagnostic} ({kill.actor_key})" if kill.actor_key else diagnostic
        pilot = wish | _sub_status(kill.sub_status or kills.sub_status(kill.code))
        return Advance(kills.trigger(kill.code), Changes(errors=(error,), pilot=pilot), detail=detail)

    def _deadline(self, passed: DeadlinePassed, job: Job) -> Outcome:
        if passed.state is not job.state or passed.version != job.version:
            return Ignore(f"job went on to {job.state}")
        deadline = overdue_by(job, datetime.now(UTC), self._limits, passed.missed)
        if deadline is None:
            return Ignore("a heartbeat came in time, or its outputs are still looked at")
        if job.state is State.SENT and deadline.kill is None and job.may_be_handed_out_again():
            return Advance(Trigger.UNCLAIMED, detail=deadline.diagnostic)
        return _overdue(job, deadline, passed.worker_done is True)


def _throttle(held: ThrottleJobs, job: Job) -> Outcome:
    if not held.throttle and job.is_jedis and job.state is State.ACTIVATED:
        return Record(Changes(let_go=True))  # it became activated while its task was held
    who = f"by {held.actor}" if held.actor else None
    return Advance(Trigger.THROTTLED if held.throttle else Trigger.UNTHROTTLED, detail=who)


def _set(job: Job, changes: Changes) -> Outcome:
    return Ignore("has ended") if job.state in FINAL else Record(changes)


def _tell(tell: TellPilot, job: Job) -> Outcome:
    if not may_be_told(job.state, job.has_report) or job.command == kills.TO_BE_KILLED:
        return Ignore("its pilot is done, or must stop")
    return Record(Changes(command=pilot_commands.changed(job.command, tell.command, tell.debug)))


def _shown(report: PilotReport, name: str) -> str | None:
    """What the pilot shows of its job, or says of its outputs; nothing is no news."""
    shown = report.attributes.get(name)
    return str(shown) if shown else None


def _says_nothing_new(report: PilotReport, job: Job) -> bool:
    """A heartbeat: the state the job is in, or one before it, from the pilot that has it."""
    if FACTS[job.state].phase is Phase.WITH_PILOT:
        return report.state == job.state.value or (report.state == "starting" and job.state is State.RUNNING)
    return job.awaits_last_words


def _sub_status(sub_status: str | None) -> dict[str, Any]:
    """By what its submitter goes when a kill or a deadline has ended a job, among what its pilot said of it."""
    return {} if sub_status is None else {"job_sub_status": sub_status}


def _overdue(job: Job, deadline: Deadline, worker_done: bool) -> Outcome:
    """The end of a job whose deadline has passed."""
    diagnostic = f"{deadline.diagnostic} ({job.waits_for})" if job.waits_for else deadline.diagnostic
    error = JobError(deadline.component, deadline.code, diagnostic)
    if deadline.kill is not None:
        changes = Changes(errors=(error,), pilot=_sub_status(kills.sub_status(deadline.kill)))
        return Advance(kills.deadline_trigger(deadline), changes, detail=diagnostic)
    if job.has_erred and error.component is Component.JOB_DISPATCHER and job.state is not State.SENT:
        error = JobError(error.component, DispatcherCode.RECOVERY_FAILED, f"job recovery failed: {diagnostic}")
    errors = [error]
    if worker_done:
        errors.append(JobError(Component.SUP, SupCode.WORKER_DONE, "the worker of its pilot has ended"))
    return Advance(kills.deadline_trigger(deadline), Changes(errors=tuple(errors)), detail=error.diagnostic)


def _closed_by_pilot(job: Job, changes: Changes) -> Outcome:
    """A pilot that gives its job back before it ran: nothing of it is looked at."""
    job.forced_kill = True  # nobody need be asked
    diagnostic = "closed by its pilot"
    error = JobError(Component.TASK_BUFFER, error_of_kill(kills.CLOSED_BY_PILOT), diagnostic)
    closed = replace(changes, errors=(*changes.errors, error))
    return Advance(kills.trigger(kills.CLOSED_BY_PILOT), closed, detail=diagnostic)


def _errors(report: PilotReport) -> tuple[JobError, ...]:
    """Codes that say that something is wrong, and what is said without a code."""
    if _ERROR_NAMES.isdisjoint(report.attributes):
        return ()  # most reports
    errors = []
    for component, (code_field, diag_field) in _ERROR_FIELDS.items():
        found = str(report.attributes.get(code_field, "")).strip()
        code = int(found) if _NUMBER.fullmatch(found) else 0
        diagnostic = str(report.attributes.get(diag_field, ""))
        if code != 0 or diagnostic:
            errors.append(JobError(component, code, diagnostic[:500]))
    return tuple(errors)


def _stored(report: PilotReport, job: Job) -> dict[str, Any]:
    return {
        "job_id": report.job_id,
        "attempt_nr": job.attempt_nr,
        "state": report.state,
        "output_report": report.output_report,
        "attributes": report.attributes,
    }
