"""What is said to a running job by way of its pilot, and what the pilot shows of it: debug mode, commands, output."""

from functools import partial

from starlette.responses import Response

from gateway.access import audit, policy
from gateway.access.policy import Action
from gateway.context import Gateway
from gateway.http.answers import StatusCode, failure, json_response, success
from gateway.http.refusal import ForbiddenError, RefusalError
from gateway.http.route import Call
from gateway.wire.pilot_requests import DebugModeRequest
from gateway.wire.user_requests import CommandRequest, JobRequest
from gateway.work.idempotency import Made
from gateway.work.reading import reading
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.commands import TELL_PILOT
from panda_fsm.jobs.facts import FACTS
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.pilot_commands import refusal
from panda_fsm.messages import TellPilot

_DONE = ""
"""What is kept as the answer of something that worked; else it is the reason why it did not."""


async def set_command(gateway: Gateway, call: Call, ask: CommandRequest) -> Response:
    """Keep what the job's pilot is to be told with its next report."""
    why_not = ask.command and refusal(ask.command)
    if why_not:
        raise RefusalError(f"command: {why_not}")
    wrong = await _tell(gateway, call, Action.COMMAND, ask, TellPilot(job_id=ask.job_id, command=ask.command or ""))
    return failure(wrong) if wrong else success()


async def debug_mode(gateway: Gateway, call: Call, ask: DebugModeRequest) -> Response:
    """Debug mode on or off. Off means that the pilot is told no more: one that is in it stays in it."""
    wrong = await _tell(gateway, call, Action.DEBUG, ask, TellPilot(job_id=ask.job_id, debug=ask.mode))
    return failure(wrong) if wrong else success()


async def debug_mode_legacy(gateway: Gateway, call: Call, ask: DebugModeRequest) -> Response:
    """The old setDebugMode."""
    wrong = await _tell(gateway, call, Action.DEBUG, ask, TellPilot(job_id=ask.job_id, debug=ask.mode))
    if wrong:
        return json_response({"StatusCode": StatusCode.FAILED, "errorDialog": wrong})
    return json_response({"StatusCode": StatusCode.OK})


async def get_stdout(gateway: Gateway, call: Call, ask: JobRequest) -> Response:
    """What the pilot showed last, for those who may tell it to."""
    job = (await gateway.store.requests.jobs([ask.job_id])).get(ask.job_id)
    if job is None:
        return success()
    _check(call, Action.DESCRIBE_WHOLLY, job)
    with reading():
        shown = await gateway.store.reads.stdout(ask.job_id)
    return success(shown and {"at": shown.at.isoformat(), "stdout": shown.stdout})


async def _tell(
    gateway: Gateway, call: Call, action: Action, ask: CommandRequest | DebugModeRequest, message: TellPilot
) -> str:
    """Keep the message; why it is not kept, if it is not. Raises ForbiddenError."""
    message.actor = call.identity.name
    make = partial(_made, gateway, call, action, message)
    return str(await gateway.idempotency.answer(call.request, call.identity.key, ask, make))


async def _made(gateway: Gateway, call: Call, action: Action, message: TellPilot) -> Made:
    job = (await gateway.store.requests.jobs([message.job_id])).get(message.job_id)
    if job is None:
        return Made((), None, f"job {message.job_id} is not known")
    _check(call, action, job)
    if FACTS[job.state].phase not in TELL_PILOT.acts_in:
        return Made((), None, f"job {message.job_id} is {job.state}: its pilot is done")
    return Made([Outgoing.of(message)], audit.told(call.identity, message), _DONE)


def _check(call: Call, action: Action, job: JobRow) -> None:
    if not policy.may(call.identity, action, job.vo, job.owner, job.holder):
        raise ForbiddenError(f"only for {action.who}")
