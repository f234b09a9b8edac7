"""Lists of jobs, and what one of them went through: live or archived, nobody need know which."""

import time
from dataclasses import asdict
from datetime import UTC, datetime, timedelta
from typing import Any

from starlette.responses import Response

from gateway.access import policy
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.answers import success
from gateway.http.route import Call
from gateway.wire.user_requests import JobRequest, ListRequest
from gateway.work.job_rows import job_rows
from gateway.work.reading import reading
from panda_fsm.descriptions import HistoryStep, ListedJob, Wanted
from panda_fsm.jobs.facts import FINAL

_USUAL = 100
_DAY_S = 86_400
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_WITHHELD: dict[str, Any] = {"service": None, "host": None, "message_id": None, "detail": None}
"""By whom and why a step was made, where that is not everybody's."""


async def list_jobs(gateway: Gateway, _call: Call, ask: ListRequest) -> Response:
    """A page of a list, the newest first."""
    job_id, _, ended_at = (ask.after or "").partition("@")
    since = _since(ask)
    wanted = Wanted(
        ask.task_id,
        ask.user_name,
        ask.state,
        since,
        ask.until,
        (int(job_id), int(ended_at) if ended_at else None) if job_id else None,
        ask.limit or _USUAL,
    )
    with reading():
        found = await gateway.store.reads.list_jobs(wanted)
    more = _place(found[-1]) if len(found) == wanted.limit else None
    return success({"jobs": [_listed(job) for job in found], "next": more, "since": since})


async def get_history(gateway: Gateway, call: Call, ask: JobRequest) -> Response:
    """The steps of a job, and how its payload did meanwhile."""
    with reading():
        job = (await job_rows(gateway.store.reads, call.identity, [ask.job_id])).get(ask.job_id)
        if job is None:
            return success()
        steps = await gateway.store.reads.history(ask.job_id)
        samples = await gateway.store.reads.samples(ask.job_id)
    is_told = gateway.config.describe_others or policy.may_with(call.identity, Action.DESCRIBE_WHOLLY, job)
    return success(
        {
            "steps": [_step(step, is_told) for step in steps],
            "samples": [asdict(one) | {"at": _time(one.at)} for one in samples],
        }
    )


def _since(ask: ListRequest) -> int | None:
    """From when on. No index leads to anybody's jobs that ended in one way: they are looked for in a day, unless asked.

    Among all that ever ended, a few that were cancelled are found by reading nearly all of it.
    """
    if ask.since is not None or ask.state not in FINAL or ask.task_id is not None or ask.user_name is not None:
        return ask.since
    return max(0, (int(time.time()) if ask.until is None else ask.until) - _DAY_S)


def _place(job: ListedJob) -> str:
    """Where a list goes on behind this job."""
    if not job.is_archived or job.ended_at is None:
        return str(job.job_id)
    return f"{job.job_id}@{(job.ended_at - _EPOCH) // _MICROSECOND}"


def _listed(job: ListedJob) -> dict[str, Any]:
    return {
        "PandaID": job.job_id,
        "jobStatus": job.state,
        "jediTaskID": job.task_id,
        "computingSite": job.site,
        "prodUserName": job.user_name,
        "prodSourceLabel": job.label,
        "currentPriority": job.priority,
        "creationTime": _time(job.created_at),
        "startTime": job.started_at and _time(job.started_at),
        "endTime": job.ended_at and _time(job.ended_at),
        "archived": job.is_archived,
    }


def _step(step: HistoryStep, is_told: bool) -> dict[str, Any]:
    return asdict(step) | {"at": _time(step.at)} | ({} if is_told else _WITHHELD)


def _time(at: datetime) -> str:
    return at.astimezone(UTC).isoformat()
