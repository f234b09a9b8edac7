"""What users and JEDI do with jobs: submit, look at, kill, reassign."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from functools import partial
from typing import Any, TypeVar

from starlette.responses import Response

from gateway.access import audit, policy, submitting
from gateway.access.identity import Identity
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.answers import success
from gateway.http.refusal import RefusalError
from gateway.http.route import Call
from gateway.wire.description import describe
from gateway.wire.submission import draft, read_jobs, refuse_names
from gateway.wire.user_requests import DescribeRequest, KillRequest, ReassignRequest, SubmitRequest
from gateway.work import submissions, upstream
from gateway.work.idempotency import Made
from gateway.work.job_rows import job_rows
from gateway.work.reading import reading
from gateway.work.reports import NO_COMMAND
from panda_fsm.descriptions import JobDescription
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.acts import reassigned, unreassigned
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.kills import TO_BE_KILLED, is_forced, may_kill, production_group
from panda_fsm.jobs.pilot_commands import for_last_words, spoken
from panda_fsm.messages import KillJob

_JOBS_AT_ONCE = 50
_FILES_AS_A_JOB = 10
"""So many are as much to read as a job without any."""
_LONG = 64 * 1024
_MAX_REASON = 500
_WITHHELD: dict[str, Any] = {"jobParameters": None, "metadata": None, "Files": []}
"""What a job was told to do and with what, where that is not everybody's."""
_WAIT_S = 2.0
_FIRST_PAUSE_S, _LONGEST_PAUSE_S = 0.01, 0.1

Row = TypeVar("Row", JobDescription, JobRow)


async def submit(gateway: Gateway, call: Call, ask: SubmitRequest) -> Response:
    """Validate everything, keep it, answer with PandaIDs; nothing waits for a consumer or for the broker.

    Sent again because the answer was lost, it is the same submission: by its Idempotency-Key, or by its content.
    """
    make = partial(_submission, gateway, call, ask)
    return success(await gateway.idempotency.answer(call.request, call.identity.key, ask, make))


async def _submission(gateway: Gateway, call: Call, ask: SubmitRequest) -> Made:
    # A long text is read beside the event loop.
    sent = await asyncio.to_thread(read_jobs, ask.jobs) if len(ask.jobs) > _LONG else read_jobs(ask.jobs)
    job_ids = await gateway.job_ids.take(len(sent))
    try:
        drafts = await _drafts(gateway, call.identity, sent, job_ids)
    except RefusalError:
        gateway.job_ids.give_back(job_ids)
        raise
    messages: list[Outgoing] = []
    for message in submissions.messages(call.identity.key, drafts):
        messages.append(message)
        await asyncio.sleep(0)
    answer = [[job.job_id, job.job_definition_id, {"jobsetID": job.jobset_id}] for job in drafts]
    return Made(messages, audit.submitted(call.identity, drafts), answer)


async def _drafts(gateway: Gateway, identity: Identity, sent: list[Any], job_ids: list[int]) -> list[JobDraft]:
    """All of them, or RefusalError for the first that is not taken."""
    jobset_id = await gateway.store.requests.job_set_id()
    drafts: list[JobDraft] = []
    read = 0
    for index, (one, job_id) in enumerate(zip(sent, job_ids, strict=True)):
        job = draft(one, index, job_id, jobset_id, identity.name, gateway.sites.queues)
        job.vo = job.vo or identity.home
        submitting.check(identity, index, job, gateway.config.priority_limits)
        job.is_jedis = job.is_jedis and submitting.may_be_jedis(identity, job)
        refuse_names(index, job, gateway.config.name_check)
        drafts.append(job)
        read += 1 + len(job.files) // _FILES_AS_A_JOB
        if read >= _JOBS_AT_ONCE:
            await asyncio.sleep(0)
            read = 0
    upstream.link(drafts)
    return drafts


async def get_description(gateway: Gateway, call: Call, ask: DescribeRequest) -> Response:
    """Jobs in the order asked, live or archived; null for what is unknown."""
    with reading():
        found = await _patiently(gateway, ask.job_ids, gateway.store.reads.describe)
    described: dict[int, dict[str, Any]] = {}
    for index, (job_id, job) in enumerate(found.items()):
        described[job_id] = _described(gateway, call.identity, job)
        await _let_others_in(index)
    return success([described.get(job_id) for job_id in ask.job_ids])


def _described(gateway: Gateway, identity: Identity, job: JobDescription) -> dict[str, Any]:
    described = describe(job)
    vo, owner = job.columns["vo"], job.columns["owner"]
    group = production_group(job.columns["label"], str(job.spec.get("working_group", "")))
    if not policy.may(identity, Action.DESCRIBE_WHOLLY, vo, owner, group=group):
        described["commandToPilot"] = for_last_words(described["commandToPilot"])
        if not gateway.config.describe_others:
            described |= _WITHHELD
    return described


async def get_status(gateway: Gateway, call: Call, ask: DescribeRequest) -> Response:
    """State and pending command of each job; to others only whether its pilot must stop."""
    read = partial(job_rows, gateway.store.requests, call.identity)
    found = await _patiently(gateway, ask.job_ids, read)
    return success(
        [
            {"status": found[job_id].state, "command": _command(call.identity, found[job_id])}
            if job_id in found
            else {"status": "unknown", "command": TO_BE_KILLED}
            for job_id in ask.job_ids
        ]
    )


def _command(identity: Identity, job: JobRow) -> str:
    is_told = policy.may_with(identity, Action.DESCRIBE_WHOLLY, job)
    return (spoken(job.command or "") if is_told else for_last_words(job.command)) or NO_COMMAND


async def kill(gateway: Gateway, call: Call, ask: KillRequest) -> Response:
    """True for each job whose end is on its way; false for unknown, not yours, and final."""
    make = partial(_kills, gateway, call, ask)
    return success(await gateway.idempotency.answer(call.request, call.identity.key, ask, make))


async def _kills(gateway: Gateway, call: Call, ask: KillRequest) -> Made:
    read = partial(job_rows, gateway.store.requests, call.identity)
    found = await _patiently(gateway, ask.job_ids, read)
    code = ask.code or 0
    wishes = ask.wishes
    reason = ", ".join(wishes.remarks)[:_MAX_REASON]
    kills: list[KillJob] = []
    messages: list[Outgoing] = []
    for index, job in enumerate(found.values()):
        await _let_others_in(index)
        killer = policy.killer(call.identity, job)
        if job.state in FINAL or not may_kill(killer, job.label, code):
            continue
        one = KillJob(
            job_id=job.job_id, code=code, actor=call.identity.name, actor_key=call.identity.key, reason=reason,
            forced=is_forced(killer, job.label, code),
            sub_status=wishes.sub_status, keep_unmerged=wishes.keep_unmerged,
        )  # fmt: skip
        kills.append(one)
        messages.append(Outgoing.of(one))
    accepted = {one.job_id for one in kills}
    row = audit.killed(call.identity, kills) if kills else None
    return Made(messages, row, [job_id in accepted for job_id in ask.job_ids])


async def reassign(gateway: Gateway, call: Call, ask: ReassignRequest) -> Response:
    """Pending jobs are released; those that no pilot has yet are set up anew, but for JEDI's: it asks right after it
    handed its jobs over, and means no more. Of others nothing is said, nor of the jobs of other VOs, nor of those that
    are on their way: none of them comes pending, but what JEDI itself releases over the broker."""
    make = partial(_reassigns, gateway, call, ask)
    return success(await gateway.idempotency.answer(call.request, call.identity.key, ask, make))


async def _reassigns(gateway: Gateway, call: Call, ask: ReassignRequest) -> Made:
    found = await gateway.store.requests.jobs(ask.job_ids)
    actor = call.identity.name
    jobs: list[JobRow] = []
    for index, job in enumerate(found.values()):
        await _let_others_in(index)
        if unreassigned(job) is None and policy.may_with(call.identity, Action.REASSIGN, job):
            jobs.append(job)
    messages: list[Outgoing] = []
    for index, message in enumerate(reassigned(jobs, actor)):
        await _let_others_in(index)
        messages.append(Outgoing.of(message))
    row = audit.reassigned(call.identity, [job.job_id for job in jobs]) if messages else None
    return Made(messages, row, None)


async def _let_others_in(index: int) -> None:
    """Thousands of jobs take seconds of computing: pilots are answered in between."""
    if index % _JOBS_AT_ONCE == 0:
        await asyncio.sleep(0)


async def _patiently(
    gateway: Gateway, job_ids: list[int], read: Callable[[list[int]], Awaitable[dict[int, Row]]]
) -> dict[int, Row]:
    """Jobs by id; one that was submitted a moment ago is waited for instead of denied.

    Nobody is waited for once every submission of before the question was handled.
    """
    asked_at = time.monotonic()
    found = await read(job_ids)
    missing = await gateway.job_ids.may_still_come([job_id for job_id in job_ids if job_id not in found])
    pause = _FIRST_PAUSE_S
    while missing:
        waited_s = time.monotonic() - asked_at
        may_come = await gateway.store.requests.submission_waits(waited_s)
        found |= await read(missing)  # after the question: what was handled meanwhile is seen
        missing = [job_id for job_id in missing if job_id not in found] if may_come else []
        if not missing or waited_s >= _WAIT_S:
            break
        await asyncio.sleep(pause)
        pause = min(2 * pause, _LONGEST_PAUSE_S)
    return found
