"""What users do with jobs: submit, look at, kill."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.responses import Response

from gateway.http.answers import success
from gateway.context import Gateway
from gateway.access.identity import Identity
from gateway.work.reports import NO_COMMAND, TO_BE_KILLED
from gateway.http.route import Call
from gateway.wire.description import describe
from gateway.wire.submission import draft, read_jobs
from gateway.wire.user_requests import DescribeRequest, KillRequest, SubmitRequest
from panda_fsm.dispatch import JobDescription, JobRow
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.messages import KillJob, SubmitJobs
from panda_fsm.jobs.states import FINAL

_JOBS_PER_MESSAGE = 100
_JOBS_AT_ONCE = 50
_MAX_REASON = 500
_WAIT_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.1
_USER_LABELS = ("user", "panda")
_MANAGER_MAY = frozenset({2, 4, 7, 8, 9, 10, 50, 51, 52, 91, 99})
"""The codes with which a production manager may end other people's user jobs."""
_FORCING = frozenset({9, 52})
_FORCED_LABELS = ("managed", "test")
_FORCING_ALWAYS = 99

Row = TypeVar("Row", JobDescription, JobRow)


async def submit(gateway: Gateway, call: Call, ask: SubmitRequest) -> Response:
    """Validate everything, publish it confirmed, answer with PandaIDs; nothing waits for a consumer."""
    sent = read_jobs(ask.jobs)
    job_ids, jobset_id = await gateway.job_ids.take(len(sent)), await gateway.store.job_set_id()
    drafts: list[JobDraft] = []
    for index, (one, job_id) in enumerate(zip(sent, job_ids, strict=True)):
        drafts.append(draft(one, index, job_id, jobset_id, call.identity.name, gateway.sites.queues))
        await _let_others_in(index)
    messages = [
        SubmitJobs.model_construct(owner=call.identity.key, jobs=drafts[start : start + _JOBS_PER_MESSAGE])
        for start in range(0, len(drafts), _JOBS_PER_MESSAGE)
    ]
    await gateway.requests.send(messages)
    return success([[job.job_id, job.job_definition_id, {"jobsetID": job.jobset_id}] for job in drafts])


async def get_description(gateway: Gateway, _call: Call, ask: DescribeRequest) -> Response:
    """Live jobs in the order asked; null for what is unknown."""
    return await _describe(gateway, ask.job_ids, archive=False)


async def get_description_incl_archive(gateway: Gateway, _call: Call, ask: DescribeRequest) -> Response:
    """The same, with archived jobs."""
    return await _describe(gateway, ask.job_ids, archive=True)


async def _describe(gateway: Gateway, job_ids: list[int], archive: bool) -> Response:
    found = await _patiently(gateway, job_ids, lambda ids: gateway.store.describe(ids, archive))
    described = []
    for index, job_id in enumerate(job_ids):
        described.append(describe(found[job_id]) if job_id in found else None)
        await _let_others_in(index)
    return success(described)


async def get_status(gateway: Gateway, _call: Call, ask: DescribeRequest) -> Response:
    """State and pending command of each job."""
    found = await _patiently(gateway, ask.job_ids, gateway.store.jobs)
    return success(
        [
            {"status": found[job_id].state, "command": found[job_id].command or NO_COMMAND}
            if job_id in found
            else {"status": "unknown", "command": TO_BE_KILLED}
            for job_id in ask.job_ids
        ]
    )


async def kill(gateway: Gateway, call: Call, ask: KillRequest) -> Response:
    """True for each job whose end is on its way; false for unknown, not yours, and final."""
    found = await _patiently(gateway, ask.job_ids, gateway.store.jobs)
    code = ask.code or 0
    reason = ", ".join(option for option in ask.kill_options if option)[:_MAX_REASON]
    accepted = {
        job.job_id: KillJob(
            job_id=job.job_id, code=code, actor=call.identity.name, reason=reason,
            forced=_is_forced(call.identity, job, code),
        )
        for job in found.values()
        if job.state not in FINAL and _may_kill(call.identity, job, code)
    }  # fmt: skip
    await gateway.requests.send(list(accepted.values()))
    return success([job_id in accepted for job_id in ask.job_ids])


async def _let_others_in(index: int) -> None:
    """Thousands of jobs take seconds of computing: pilots are answered in between."""
    if index % _JOBS_AT_ONCE == 0:
        await asyncio.sleep(0)


def _may_kill(identity: Identity, job: JobRow, code: int) -> bool:
    if identity.key == job.owner:
        return True
    return identity.is_production and (job.label not in _USER_LABELS or code in _MANAGER_MAY)


def _is_forced(identity: Identity, job: JobRow, code: int) -> bool:
    """True when the pilot of a running job is not asked."""
    if not identity.is_production:
        return False
    return code == _FORCING_ALWAYS or (code in _FORCING and job.label in _FORCED_LABELS)


async def _patiently(
    gateway: Gateway, job_ids: list[int], read: Callable[[list[int]], Awaitable[dict[int, Row]]]
) -> dict[int, Row]:
    """Jobs by id; one that was submitted a moment ago is waited for instead of denied."""
    found = await read(job_ids)
    missing = await gateway.job_ids.may_still_come([job_id for job_id in job_ids if job_id not in found])
    give_up_at = time.monotonic() + _WAIT_S
    pause = _FIRST_PAUSE_S
    while missing and time.monotonic() < give_up_at:
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
        found |= await read(missing)
        missing = [job_id for job_id in missing if job_id not in found]
    return found
