"""What people look up: by the connections that are for them, and not for longer than reading may take."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest
from starlette.requests import Request
from starlette.responses import Response

from gateway.access.identity import Identity
from gateway.api.commands import get_stdout
from gateway.api.listing import get_history
from gateway.context import Gateway
from gateway.http.route import Call
from gateway.wire.user_requests import JobRequest
from gateway.work.reading import TooSlowToReadError
from panda_fsm.errors import TooSlowError
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.states import State
from tests.gateway_memory import Memory

Handler = Callable[[Gateway, Call, JobRequest], Awaitable[Response]]
OWNER = Identity("iss", "boss", "")
JOB = JobRow(1, State.RUNNING, 0, OWNER.key, None, "user", None, None, False)


class Reads(Memory):
    """What people read, of jobs that have nothing to show yet."""

    async def history(self, job_id: int) -> list[Any]:
        return []

    async def samples(self, job_id: int) -> list[Any]:
        return []

    async def stdout(self, job_id: int) -> None:
        return None


class Slow(Reads):
    """A database that others keep busy."""

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        raise TooSlowError("canceling statement due to statement timeout")


def ask(handler: Handler, reads: Reads, job_id: int = 1) -> Response:
    """Of a gateway that has no connections but those for people."""
    parts = SimpleNamespace(store=SimpleNamespace(reads=reads), config=SimpleNamespace(describe_others=False))
    call = Call(OWNER, cast("Request", None))

    async def answer() -> Response:
        return await handler(cast("Gateway", parts), call, JobRequest(job_id=job_id))

    return asyncio.run(answer())


@pytest.mark.parametrize("handler", [get_history, get_stdout])
def test_whose_a_job_is_is_no_question_to_what_pilots_wait_for(handler: Handler) -> None:
    for job_id in (1, 2):
        assert ask(handler, Reads(JOB), job_id).status_code == 200


@pytest.mark.parametrize("handler", [get_history, get_stdout])
def test_to_find_out_whose_a_job_is_may_take_no_longer_than_to_read_of_it(handler: Handler) -> None:
    with pytest.raises(TooSlowToReadError):
        ask(handler, Slow(JOB))
