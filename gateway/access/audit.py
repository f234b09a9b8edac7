"""What is written down of a change that somebody made over HTTP: who, what, on which jobs; one row a request."""

from collections.abc import Sequence

from gateway.access.identity import Identity
from panda_fsm.auditing import about_jobs
from panda_fsm.descriptions import AuditRow, CacheFile
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.messages import KillJob, TellPilot


def submitted(identity: Identity, jobs: Sequence[JobDraft]) -> AuditRow:
    """Jobs were submitted."""
    detail: dict[str, object] = {
        "labels": sorted({job.label for job in jobs}), "vos": sorted({job.vo for job in jobs}),
    }  # fmt: skip
    return _row(identity, "jobs_submitted", [job.job_id for job in jobs], detail)


def killed(identity: Identity, kills: Sequence[KillJob]) -> AuditRow:
    """The end of jobs was asked for, with one code and one reason."""
    first = kills[0]
    detail: dict[str, object] = {
        "code": first.code,
        "reason": first.reason,
        "forced": sum(kill.forced for kill in kills),
    }
    wishes = {"sub_status": first.sub_status, "keep_unmerged": first.keep_unmerged}
    detail |= {name: wish for name, wish in wishes.items() if wish is not None}
    return _row(identity, "kill_requested", [kill.job_id for kill in kills], detail)


def told(identity: Identity, message: TellPilot) -> AuditRow:
    """A job's pilot is to be told something, or debug mode was asked for."""
    detail: dict[str, object] = {"command": message.command, "debug": message.debug}
    said = {name: value for name, value in detail.items() if value is not None}
    return _row(identity, "pilot_told", [message.job_id], said)


def reassigned(identity: Identity, job_ids: Sequence[int]) -> AuditRow:
    """Jobs were to be released, or set up anew."""
    return _row(identity, "reassign_requested", job_ids, {})


def uploaded(identity: Identity, file: CacheFile, replaced: CacheFile | None) -> AuditRow:
    """A sandbox came; `replaced`: what its owner had by this name before."""
    detail: dict[str, object] = {"name": identity.name, "size": file.size, "digest": file.digest}
    if replaced is not None:
        detail["replaced"] = replaced.digest
    return AuditRow(identity.key, "sandbox_uploaded", f"file {file.name}", detail)


def _row(identity: Identity, action: str, job_ids: Sequence[int], detail: dict[str, object]) -> AuditRow:
    return about_jobs(identity.key, identity.name, action, job_ids, detail)
