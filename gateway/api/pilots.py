"""What pilots ask for most: jobs, and to be heard about them; old and new names, one implementation."""

import asyncio
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from typing import Any

import structlog
from pydantic import ValidationError
from starlette.responses import Response

from gateway.access.identity import Identity
from gateway.context import Gateway
from gateway.http.answers import StatusCode, failure, json_response, success
from gateway.http.journal import JOURNAL
from gateway.http.refusal import RefusalError
from gateway.http.route import Call
from gateway.wire.pilot_filters import filters
from gateway.wire.pilot_job import pilot_job
from gateway.wire.pilot_report import pilot_report
from gateway.wire.pilot_requests import AcquireRequest, BulkUpdateRequest, JobStatusRequest, UpdateRequest
from gateway.work.places import place
from gateway.work.reports import NO_COMMAND
from panda_fsm.claims import Seat
from panda_fsm.descriptions import JobDescription
from panda_fsm.errors import TransientError, complaint
from panda_fsm.figures import ACQUIRES
from panda_fsm.messages import PilotReport, new_message_id
from panda_fsm.offers import offer_of

log = structlog.get_logger()

NO_JOBS = "No jobs in PanDA"
_REPORTS_AT_ONCE = 20


async def acquire_legacy(gateway: Gateway, call: Call, ask: AcquireRequest) -> Response:
    """The old getJob: one job as a flat object, or StatusCode 20."""
    jobs, why = await _acquire(gateway, call.identity, ask, 1)
    if not jobs:
        return json_response({"StatusCode": StatusCode.NO_JOBS, "errorDialog": f"no jobs in PanDA{why}"})
    return json_response({"StatusCode": StatusCode.OK, **jobs[0]})


async def acquire(gateway: Gateway, call: Call, ask: AcquireRequest) -> Response:
    """The new acquire_jobs: a list of jobs."""
    jobs, why = await _acquire(gateway, call.identity, ask, ask.n_jobs)
    if not jobs:
        return failure(f"{NO_JOBS}{why}")
    return success({"StatusCode": StatusCode.OK, "jobs": jobs})


async def _acquire(
    gateway: Gateway, identity: Identity, ask: AcquireRequest, wanted: int
) -> tuple[list[dict[str, Any]], str]:
    """The jobs as pilots read them; where the queue is shut, why, as the end of a sentence."""
    queue = gateway.sites.queues.get(ask.site_name)
    if queue is None:
        raise RefusalError(f"unknown queue {ask.site_name!r:.80}")
    offered = offer_of(ask.site_name, queue, gateway.sites.downtimes_of(queue), datetime.now(UTC))
    gateway.activity.asked(ask.site_name)
    why_shut = f"{ask.site_name} is paused" if ask.site_name in gateway.paused else offered.shut
    if why_shut is not None:
        ACQUIRES.add((ask.site_name, "no_job"))
        return [], f": {why_shut}"
    facts = ask.model_dump(
        include={"harvester_id", "worker_id", "scheduler_id", "computing_element"}, exclude_none=True
    )
    where = place(identity.key, ask) if wanted == 1 else None
    seats = [Seat(new_message_id(), identity.key, ask.node or "", facts, where) for _ in range(wanted)]
    asked = filters(ask, offered.status)
    jobs = await gateway.claims.acquire(offered.slot.within(asked), seats)
    gateway.activity.answered(asked, len(jobs))
    ACQUIRES.add((ask.site_name, "job" if jobs else "no_job"))
    return list(_told(jobs, queue.storage)), ""


def _told(jobs: Sequence[JobDescription], storage: str) -> Iterator[dict[str, Any]]:
    """The jobs as pilots read them.

    One that cannot be told keeps no other from its pilot. It is nobody's until its deadline: given back at once it
    would be the next that is tried, again and again.
    """
    for job in jobs:
        try:
            yield pilot_job(job, storage)
        except Exception:
            log.exception("job_not_told", job_id=job.job_id)


async def update_legacy(gateway: Gateway, call: Call, ask: UpdateRequest) -> Response:
    """The old updateJob."""
    command = await gateway.reports.accept(pilot_report(ask), call.identity)
    return json_response({"StatusCode": StatusCode.OK, "command": command})


async def update(gateway: Gateway, call: Call, ask: UpdateRequest) -> Response:
    """The new update_job."""
    return json_response(_heard(await gateway.reports.accept(pilot_report(ask), call.identity)))


async def update_bulk(gateway: Gateway, call: Call, ask: BulkUpdateRequest) -> Response:
    """Many reports; each has its own answer, and only the network can fail them all."""
    read: list[PilotReport | str] = []
    for index, fields in enumerate(ask.job_list):
        read.append(_read(fields))
        if index % _REPORTS_AT_ONCE == 0:
            await asyncio.sleep(0)  # other pilots are answered in between
    answers = await asyncio.gather(*(_update_one(gateway, call, report) for report in read))
    return success(answers)


def _read(fields: Any) -> PilotReport | str:
    """The report, or why it is none."""
    try:
        return pilot_report(UpdateRequest.model_validate(fields))
    except ValidationError as error:
        return complaint(error)
    except RefusalError as refused:
        return refused.message


async def _update_one(gateway: Gateway, call: Call, report: PilotReport | str) -> dict[str, Any]:
    try:
        if not isinstance(report, str):
            return _heard(await gateway.reports.accept(report, call.identity))
        message, code = report, StatusCode.INVALID
    except RefusalError as refused:
        message, code = refused.message, StatusCode.INVALID
    except TransientError:
        message, code = "not accepted for the moment, please repeat", StatusCode.FAILED
    JOURNAL.refused_in_part(call.request.scope, message)
    return {"success": False, "message": message, "data": {"StatusCode": code}}


def _heard(command: str) -> dict[str, Any]:
    """A real command stands in the envelope too: that is where some pilots look for it."""
    answer: dict[str, Any] = {
        "success": True,
        "message": "",
        "data": {"StatusCode": StatusCode.OK, "command": command},
    }
    return answer if command == NO_COMMAND else answer | {"command": command}


async def job_status(gateway: Gateway, _call: Call, ask: JobStatusRequest) -> Response:
    """State and attempt of jobs, so that a pilot can check before it starts."""
    found = await gateway.store.requests.jobs(ask.job_ids)
    return success(
        [
            {"job_id": job_id, "status": found[job_id].state, "attempt_number": found[job_id].attempt_nr}
            if job_id in found
            else {"job_id": job_id, "status": "notfound", "attempt_number": 0}
            for job_id in ask.job_ids
        ]
    )


async def job_status_legacy(gateway: Gateway, _call: Call, ask: JobStatusRequest) -> Response:
    """The old getStatus: aligned comma lists."""
    found = await gateway.store.requests.jobs(ask.job_ids)
    states = [found[job_id].state.value if job_id in found else "notfound" for job_id in ask.job_ids]
    attempts = [str(found[job_id].attempt_nr) if job_id in found else "0" for job_id in ask.job_ids]
    return json_response({"StatusCode": StatusCode.OK, "status": ",".join(states), "attemptNr": ",".join(attempts)})
