"""People who look at the dashboards, over HTTP, from a process of their own, in one of two ways.

`screens` is how operators look: each has a screen open that follows the stream of events as our script does (it asks
for its page again when that may have changed, at most every few seconds), and opens another page every five seconds.
Screens stand on what people watch: Now, Queues, Sites, Jobs and Flow in turn. `clicks` is harsher than people are: each
opens a page every second, all pages in turn, so that hardly two look at the same.
"""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import suppress
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Literal

import uvloop

from bench.plant import BenchError
from gateway.dashboard.table import PAGES
from lab.http_client import HttpConnection

Way = Literal["screens", "clicks"]
PAUSE_S = 1.0
"""Between two pages of one who clicks; and so often our script looks whether it has to ask again."""
FOLLOWED_S, UNCHANGED_S = 2.0, 15.0
"""As `look.js` has it: a page that changed is asked for again so often at most, one that did not so often at least."""
OPENED_S = 5.0
SCREENS = ("", "queues", "sites", "jobs", "flow")
_OLD_S = 0.1 + max(page.age_s for page in PAGES)
_ANSWER_S = 120.0
_EVENTS = b"GET /ui/events HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/event-stream\r\n\r\n"
Latencies = dict[str, list[float]]


def get(path: str) -> bytes:
    """A request for a page, complete."""
    return f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept: text/html\r\n\r\n".encode()


async def look(connection: HttpConnection, path: str) -> float:
    """Milliseconds until the page was there."""
    started = time.perf_counter()
    status, body = await connection.send(get(path))
    if status != 200:
        raise BenchError(f"{path} was answered {status} {body[:200]!r}")
    return (time.perf_counter() - started) * 1000


async def _alone(port: int, paths: Mapping[str, str], times: int) -> Latencies:
    """One viewer, who waits between two looks until a page that was just seen is looked up and drawn anew.

    The first time does not count: that is when templates are read.
    """
    connection = await HttpConnection.open(port)
    found: Latencies = {name: [] for name in paths}
    for number in range(times + 1):
        for name, path in paths.items():
            found[name].append(await look(connection, path))
        if number < times:
            await asyncio.sleep(_OLD_S)
    connection.close()
    return {name: ms[1:] for name, ms in found.items()}


def looked_alone(port: int, paths: Mapping[str, str], times: int) -> Latencies:
    """How long each page takes while nobody else asks anything."""
    return asyncio.run(_alone(port, paths, times))


class Viewers:
    """While the block lasts, so many people look in one of the ways."""

    def __init__(self, port: int, paths: Mapping[str, str], viewers: int, way: Way) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        crowd = _Crowd(port, dict(paths), viewers, way)
        self._process = context.Process(target=_main, args=(crowd, there), daemon=True)
        self.latencies: Latencies = {}

    def __enter__(self) -> Viewers:
        self._process.start()
        self._answer()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if error is None:
                self._pipe.send("end")
                self.latencies = self._answer()
        finally:
            self._process.terminate()
            self._process.join()

    def _answer(self) -> Latencies:
        try:
            found = self._pipe.recv() if self._pipe.poll(_ANSWER_S) else "no answer"
        except EOFError:
            found = "their process ended"
        if not isinstance(found, dict):
            raise BenchError(f"viewers: {found}")
        return found


class _Crowd:
    """All of them, in their process."""

    def __init__(self, port: int, paths: dict[str, str], viewers: int, way: Way) -> None:
        self._port = port
        self._paths = paths
        self._viewers = viewers
        self._way = way
        self._found: Latencies = {name: [] for name in paths}

    async def watch(self, pipe: Connection) -> Latencies:
        """Look until somebody says that it is enough."""
        people = {"screens": (self._follow, self._open), "clicks": (self._click,)}[self._way]
        pipe.send({})
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(live(number)) for number in range(self._viewers) for live in people]
            while not await asyncio.to_thread(pipe.poll, PAUSE_S):
                continue
            for task in tasks:
                task.cancel()
        return self._found

    async def _click(self, number: int) -> None:
        await self._in_turn(number, PAUSE_S)

    async def _open(self, number: int) -> None:
        # Not all at once.
        await asyncio.sleep(OPENED_S * number / self._viewers)
        await self._in_turn(number, OPENED_S)

    async def _in_turn(self, first: int, pause_s: float) -> None:
        names = list(self._paths)
        look = await self._looking()
        while True:
            await look(names[first % len(names)])
            first += 1
            await asyncio.sleep(pause_s)

    async def _follow(self, number: int) -> None:
        name = SCREENS[number % len(SCREENS)]
        look = await self._looking()
        is_due = asyncio.Event()
        await asyncio.sleep(PAUSE_S * number / self._viewers)
        async with asyncio.TaskGroup() as group:
            group.create_task(self._listen(is_due))
            seen_at = -UNCHANGED_S
            while True:
                age_s = time.monotonic() - seen_at
                if age_s >= UNCHANGED_S or (is_due.is_set() and age_s >= FOLLOWED_S):
                    is_due.clear()
                    seen_at = time.monotonic()
                    await look(name)
                await asyncio.sleep(PAUSE_S)

    async def _listen(self, is_due: asyncio.Event) -> None:
        """Whatever changes, each page has something of it."""
        async for event in _events(self._port):
            if event == b"changed":
                is_due.set()

    async def _looking(self) -> Callable[[str], Awaitable[None]]:
        connection = await HttpConnection.open(self._port)

        async def look_at(name: str) -> None:
            self._found[name].append(await look(connection, self._paths[name]))

        return look_at


async def _events(port: int) -> AsyncIterator[bytes]:
    """The names of events."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        writer.write(_EVENTS)
        while line := await reader.readline():
            if line.startswith(b"event: "):
                yield line[7:].strip()
    finally:
        writer.close()


def _main(crowd: _Crowd, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    with suppress(BrokenPipeError):
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                pipe.send(runner.run(crowd.watch(pipe)))
        except Exception as error:
            pipe.send(repr(error))
