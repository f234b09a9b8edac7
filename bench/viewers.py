"""People who look at the dashboards: each opens one page after another, over HTTP, from a process of its own."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections.abc import Mapping
from multiprocessing.connection import Connection
from types import TracebackType

from bench.plant import BenchError
from lab.http_client import HttpConnection

PAUSE_S = 1.0
"""Between two pages of one viewer."""
_ANSWER_S = 120.0
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
    """One viewer, who waits between two looks until a page that somebody has just seen is looked up anew."""
    connection = await HttpConnection.open(port)
    found: Latencies = {name: [] for name in paths}
    for _ in range(times):
        for name, path in paths.items():
            found[name].append(await look(connection, path))
        await asyncio.sleep(PAUSE_S)
    connection.close()
    return found


def looked_alone(port: int, paths: Mapping[str, str], times: int) -> Latencies:
    """How long each page takes while nobody else asks anything."""
    return asyncio.run(_alone(port, paths, times))


class Viewers:
    """While the block lasts, so many people look at all pages in turn."""

    def __init__(self, port: int, paths: Mapping[str, str], viewers: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_main, args=(port, dict(paths), viewers, there), daemon=True)
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


def _main(port: int, paths: dict[str, str], viewers: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    try:
        pipe.send(asyncio.run(_watch(port, paths, viewers, pipe)))
    except Exception as error:
        pipe.send(repr(error))


async def _watch(port: int, paths: dict[str, str], viewers: int, pipe: Connection) -> Latencies:
    over = asyncio.Event()
    found: Latencies = {name: [] for name in paths}

    async def view(first: int) -> None:
        connection = await HttpConnection.open(port)
        names = list(paths)
        place = first
        while not over.is_set():
            name = names[place % len(names)]
            found[name].append(await look(connection, paths[name]))
            place += 1
            await asyncio.sleep(PAUSE_S)
        connection.close()

    pipe.send({})
    async with asyncio.TaskGroup() as group:
        for number in range(viewers):
            group.create_task(view(number))
        while not await asyncio.to_thread(pipe.poll, PAUSE_S):
            continue
        over.set()
    return found
