"""What users do with jobs: submit, look at, kill."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import TypeVar

from starlette.responses import Response

from gateway.access import policy
from gateway.context import Gateway
from gateway.http.answers import success
from gateway.http.route import Call
from gateway.wire.description import describe
from gateway.wire.submission import draft, read_jobs
from gateway.wire.user_requests import DescribeRequest, KillRequest, SubmitRequest
from gateway.work import submissions
from gateway.work.reports import NO_COMMAND
from panda_fsm.descriptions import JobDescription
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.kills import TO_BE_KILLED, is_forced, may_kill
from panda_fsm.messages import KillJob

_JOBS_AT_ONCE = 50
_MAX_REASON = 500
_WAIT_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.1

Row = TypeVar("Row", JobDescription, JobRow)


async def submit(gateway: Gateway, call: Call, ask: SubmitRequest) -> Response:
    """Validate everything, keep it, answer with PandaIDs; nothing waits for a consumer or for the broker."""
    sent = read_jobs(ask.jobs)
    job_ids, jobset_id = await gateway.job_ids.take(len(sent)), await gateway.store.requests.job_set_id()
    drafts: list[JobDraft] = []
    for index, (one, job_id) in enumerate(zip(sent, job_ids, strict=True)):
        drafts.append(draft(one, index, job_id, jobset_id, call.identity.name, gateway.sites.queues))
        await _let_others_in(index)
    messages: list[Outgoing] = []
    for message in submissions.messages(call.identity.key, drafts):
        messages.append(message)
        await asyncio.sleep(0)
    await gateway.requests.accept(messages)
    return success([[job.job_id, job.job_definition_id, {"jobsetID": job.jobset_id}] for job in drafts])


async def get_description(gateway: Gateway, _call: Call, ask: DescribeRequest) -> Response:
    """Live jobs in the order asked; null for what is unknown."""
    return await _describe(gateway, ask.job_ids, archive=False)


async def get_description_incl_archive(gateway: Gateway, _call: Call, ask: DescribeRequest) -> Response:
    """The same, with archived jobs."""
    return await _describe(gateway, ask.job_ids, archive=True)


async def _describe(gateway: Gateway, job_ids: list[int], archive: bool) -> Response:
    found = await _patiently(gateway, job_ids, lambda ids: gateway.store.reads.describe(ids, archive))
    described = []
    for index, job_id in enumerate(job_ids):
        described.append(describe(found[job_id]) if job_id in found else None)
        await _let_others_in(index)
    return success(described)


async def get_status(gateway: Gateway, _call: Call, ask: DescribeRequest) -> Response:
    """State and pending command of each job."""
    found = await _patiently(gateway, ask.job_ids, gateway.store.requests.jobs)
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
    found = await _patiently(gateway, ask.job_ids, gateway.store.requests.jobs)
    code = ask.code or 0
    reason = ", ".join(option for option in ask.kill_options if option)[:_MAX_REASON]
    accepted: dict[int, Outgoing] = {}
    for job in found.values():
        killer = policy.killer(call.identity, job)
        if job.state not in FINAL and may_kill(killer, job.label, code):
            forced = is_forced(killer, job.label, code)
            message = KillJob(job_id=job.job_id, code=code, actor=call.identity.name, reason=reason, forced=forced)
            accepted[job.job_id] = Outgoing.of(message)
    await gateway.requests.accept(list(accepted.values()))
    return success([job_id in accepted for job_id in ask.job_ids])


async def _let_others_in(index: int) -> None:
    """Thousands of jobs take seconds of computing: pilots are answered in between."""
    if index % _JOBS_AT_ONCE == 0:
        await asyncio.sleep(0)


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
