"""What is said to a running job by way of its pilot, and what the pilot shows of it: debug mode, commands, output."""

from functools import partial

from starlette.responses import Response

from gateway.access import audit, policy
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.answers import StatusCode, failure, json_response, success
from gateway.http.refusal import ForbiddenError, NotFoundError, RefusalError
from gateway.http.route import Call
from gateway.wire.pilot_requests import DebugModeRequest
from gateway.wire.user_requests import CommandRequest, JobRequest
from gateway.work.idempotency import Made
from gateway.work.job_rows import job_rows
from gateway.work.reading import reading
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.acts import untold
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.pilot_commands import refusal
from panda_fsm.messages import TellPilot


class TooLateError(RefusalError):
    """The pilot does not listen any more, or to something else."""

    status = 409


async def set_command(gateway: Gateway, call: Call, ask: CommandRequest) -> Response:
    """Keep what the job's pilot is to be told with its next report."""
    why_not = ask.command and refusal(ask.command)
    if why_not:
        raise RefusalError(f"command: {why_not}")
    await _tell(gateway, call, Action.COMMAND, ask, TellPilot(job_id=ask.job_id, command=ask.command or ""))
    return success()


async def debug_mode(gateway: Gateway, call: Call, ask: DebugModeRequest) -> Response:
    """Debug mode on or off. Off means that the pilot is told no more: one that is in it stays in it."""
    await _tell(gateway, call, Action.DEBUG, ask, TellPilot(job_id=ask.job_id, debug=ask.mode))
    return success()


async def debug_mode_of_pilot(gateway: Gateway, call: Call, ask: DebugModeRequest) -> Response:
    """The same for pilots: that it came to nothing is no mistake of theirs."""
    try:
        return await debug_mode(gateway, call, ask)
    except (NotFoundError, TooLateError) as refused:
        answer = failure(refused.message)
        answer.reason, answer.kind = refused.message, refused.kind
        return answer


async def debug_mode_legacy(gateway: Gateway, call: Call, ask: DebugModeRequest) -> Response:
    """The old setDebugMode."""
    try:
        await debug_mode(gateway, call, ask)
    except (NotFoundError, TooLateError) as refused:
        answer = json_response({"StatusCode": StatusCode.FAILED, "errorDialog": refused.message})
        answer.reason, answer.kind = refused.message, refused.kind
        return answer
    return json_response({"StatusCode": StatusCode.OK})


async def get_stdout(gateway: Gateway, call: Call, ask: JobRequest) -> Response:
    """What the pilot showed last, for those who may tell it to."""
    with reading():
        job = (await job_rows(gateway.store.reads, call.identity, [ask.job_id])).get(ask.job_id)
        if job is None:
            return success()
        _check(call, Action.DESCRIBE_WHOLLY, job)
        shown = await gateway.store.reads.stdout(ask.job_id)
    return success(shown and {"at": shown.at.isoformat(), "stdout": shown.stdout})


async def _tell(
    gateway: Gateway, call: Call, action: Action, ask: CommandRequest | DebugModeRequest, message: TellPilot
) -> None:
    """Keep the message. Raises NotFoundError, ForbiddenError, TooLateError."""
    message.actor = call.identity.name
    make = partial(_made, gateway, call, action, message)
    await gateway.idempotency.answer(call.request, call.identity.key, ask, make)


async def _made(gateway: Gateway, call: Call, action: Action, message: TellPilot) -> Made:
    job = (await job_rows(gateway.store.requests, call.identity, [message.job_id])).get(message.job_id)
    if job is None:
        raise NotFoundError(f"job {message.job_id} is not known")
    _check(call, action, job)
    why_not = untold(job, message.debug)
    if why_not:
        raise TooLateError(f"job {message.job_id} {why_not}")
    return Made([Outgoing.of(message)], audit.told(call.identity, message), None)


def _check(call: Call, action: Action, job: JobRow) -> None:
    if not policy.may_with(call.identity, action, job):
        raise ForbiddenError(f"only for {action.who}")
