"""A connection alone, without a network: what is queued on it, and how it ends when its client does nothing more."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from gateway.http.protocol import BoundedProtocol, Limits

LIMITS = Limits(connections=10)
GET = b"GET / HTTP/1.1\r\nHost: h\r\n\r\n"
POST = b"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"


class Wire(asyncio.Transport):
    """Remembers what is written; a client takes it or does not."""

    def __init__(self, is_taken: bool) -> None:
        super().__init__()
        self.written = b""
        self.is_aborted = False
        self._is_taken = is_taken
        self._closing = False

    def write(self, data: Any) -> None:
        self.written += data

    def get_write_buffer_size(self) -> int:
        return 0 if self._is_taken else len(self.written)

    def is_closing(self) -> bool:
        return self._closing

    def close(self) -> None:
        self._closing = True

    def abort(self) -> None:
        self._closing = self.is_aborted = True

    def can_write_eof(self) -> bool:
        return False

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


class Connection:
    """A connection to an application that answers with a length, in two parts, each when it is let."""

    def __init__(self, is_taken: bool = True) -> None:
        self.begin, self.go_on = asyncio.Event(), asyncio.Event()
        self.wire = Wire(is_taken)
        config = uvicorn.Config(self._answer, log_config=None, interface="asgi3", proxy_headers=False)
        self.protocol = BoundedProtocol(LIMITS, config, ServerState(), {}, asyncio.get_running_loop())
        self.protocol.connection_made(self.wire)

    async def _answer(self, _scope: Any, _receive: Any, send: Any) -> None:
        await self.begin.wait()
        await send({"type": "http.response.start", "status": 404, "headers": [(b"content-length", b"4")]})
        await send({"type": "http.response.body", "body": b"no", "more_body": True})
        await self.go_on.wait()
        await send({"type": "http.response.body", "body": b"ne"})

    async def hears(self, data: bytes) -> None:
        """Something comes, and what can be done is done."""
        self.protocol.data_received(data)
        await self.works()

    async def works(self) -> None:
        """Whatever can be done is done."""
        for _ in range(5000):
            await asyncio.sleep(0)

    def looks(self, seconds: int) -> None:
        """So many seconds go by."""
        began = asyncio.get_running_loop().time()
        for second in range(seconds):
            self.protocol.look(began + second)


def running(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """A test that is a coroutine."""

    def run() -> None:
        asyncio.run(test())

    return run


@running
async def test_requests_without_end_on_one_connection_are_bounded() -> None:
    connection = Connection()
    for _ in range(5):
        connection.protocol.data_received(GET * 1_000)
    assert len(connection.protocol.pipeline) <= 101
    connection.begin.set()
    connection.go_on.set()
    await connection.works()
    answers = connection.wire.written.split(b"HTTP/1.1 ")
    assert [answer[:3] for answer in answers[1:]] == [b"404"] * 101 + [b"503"]
    assert connection.wire.is_closing()


@running
async def test_a_hundred_requests_may_wait_on_a_connection() -> None:
    connection = Connection()
    await connection.hears(GET * 101)
    connection.begin.set()
    connection.go_on.set()
    await connection.works()
    assert connection.wire.written.count(b"HTTP/1.1 404") == 101
    assert not connection.wire.is_closing()


@running
async def test_who_neither_sends_its_body_nor_takes_the_answer_is_not_held() -> None:
    connection = Connection(is_taken=False)
    await connection.hears(POST)
    connection.begin.set()
    await connection.works()
    connection.looks(150)
    assert connection.wire.is_aborted


@running
async def test_who_does_not_take_the_whole_answer_and_sends_no_body_is_not_held() -> None:
    connection = Connection(is_taken=False)
    connection.begin.set()
    connection.go_on.set()
    await connection.hears(POST)
    connection.looks(150)
    assert connection.wire.is_aborted


@running
async def test_a_connection_that_closes_waits_for_nobody_who_does_not_take_what_is_left() -> None:
    connection = Connection(is_taken=False)
    connection.begin.set()
    await connection.hears(GET + b"nonsense\r\n\r\n")
    connection.go_on.set()
    await connection.works()
    connection.looks(150)
    assert connection.wire.is_aborted


async def _refused_before_its_body() -> Connection:
    connection = Connection()
    connection.begin.set()
    connection.go_on.set()
    await connection.hears(POST)
    return connection


@running
async def test_a_connection_rests_within_bounds_after_a_body_that_came_too_late() -> None:
    connection = await _refused_before_its_body()
    await connection.hears(b"late")
    assert connection.protocol.timeout_keep_alive_task is not None
    await connection.hears(GET)
    assert connection.wire.written.count(b"HTTP/1.1 404") == 2
    assert connection.protocol.timeout_keep_alive_task is not None


@running
async def test_half_a_head_behind_a_body_that_came_too_late_is_not_waited_for() -> None:
    connection = await _refused_before_its_body()
    await connection.hears(b"late" + GET[:9])
    connection.looks(20)
    assert b"HTTP/1.1 408" in connection.wire.written


@running
async def test_a_head_without_a_body_leaves_at_once() -> None:
    connection = Connection()
    connection.begin.set()
    connection.go_on.set()
    await connection.hears(GET.replace(b"GET", b"HEAD", 1) * 2)
    assert connection.wire.written.count(b"HTTP/1.1 404") == 2
