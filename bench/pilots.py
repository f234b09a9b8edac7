"""Simulated pilots in a process of their own: 32 kept-alive connections that ask as fast as they are answered."""

from __future__ import annotations

import asyncio
import multiprocessing
import signal
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from types import TracebackType
from typing import Any

import orjson
import uvloop

from bench import jobs
from bench.http_client import HttpConnection, post
from bench.plant import BenchError
from lab.site import QUEUE, unsigned_token

PILOTS = 32
BACKLOG = 2000
_ACQUIRE = {
    "site_name": QUEUE, "computing_element": QUEUE, "prod_source_label": "user", "disk_space": 20000, "memory": 24000,
    "node": "wn042.bench", "scheduler_id": "bench",
}  # fmt: skip
_PAUSE_S = 0.02
_ANSWER_S = 240.0


@dataclass(slots=True)
class Served:
    """What pilots saw: seconds from first to last request, latencies in ms by kind of request, jobs taken."""

    took_s: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    job_ids: list[int] = field(default_factory=list)


class PilotProcess:
    """The handle on the process; it ends with us, however we end."""

    def __init__(self, port: int) -> None:
        context = multiprocessing.get_context("spawn")
        self._pipe, there = context.Pipe()
        self._process = context.Process(target=_main, args=(port, there), daemon=True)

    def __enter__(self) -> PilotProcess:
        self._process.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.join()

    def submit(self, bodies: list[bytes]) -> Served:
        """Send submissions, one after another."""
        return self._ask("submit", bodies)

    def acquire(self, count: int) -> Served:
        """Ask that many times for a job; every request must get one."""
        return self._ask("acquire", count)

    def ask_in_vain(self, asks: list[dict[str, Any]]) -> Served:
        """One pilot asks with these fields, one request after another; none may get a job."""
        return self._ask("ask_in_vain", asks)

    def update(self, states: list[tuple[int, str]]) -> Served:
        """Report states of jobs, in this order."""
        return self._ask("update", states)

    def live(self, bodies: list[bytes], count: int) -> Served:
        """Submit, and be pilots until every one of that many jobs was reported finished."""
        return self._ask("live", (bodies, count))

    def _ask(self, what: str, value: object) -> Served:
        self._pipe.send((what, value))
        try:
            if not self._pipe.poll(_ANSWER_S):
                raise BenchError(f"pilots: no answer to {what} within {_ANSWER_S:.0f} s")
            answer = self._pipe.recv()
        except EOFError:
            raise BenchError(f"pilots: the process ended while asked to {what}") from None
        if isinstance(answer, Served):
            return answer
        raise BenchError(f"pilots: {answer}")


def _main(port: int, pipe: Connection) -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        crowd = runner.run(_Crowd.gather(port))
        commands: dict[str, Callable[[Any], Any]] = {
            "submit": crowd.submit, "acquire": crowd.acquire, "ask_in_vain": crowd.ask_in_vain,
            "update": crowd.update, "live": crowd.live,
        }  # fmt: skip
        while True:
            try:
                what, value = pipe.recv()
            except EOFError:
                return
            try:
                pipe.send(runner.run(crowd.timed(commands[what](value))))
            except Exception as error:
                pipe.send(repr(error))


class _Crowd:
    """All pilots and one user, each with a connection."""

    def __init__(self, user: HttpConnection, pilots: list[HttpConnection]) -> None:
        self._user = user
        self._pilots = pilots
        self._start_clock()
        self._user_token = unsigned_token("bench-user", "bench")
        self._token = unsigned_token("bench-pilot", "bench")
        self._submitted = self._taken = self._ended = self._workers = 0

    @classmethod
    async def gather(cls, port: int) -> _Crowd:
        """Connect everybody."""
        return cls(await HttpConnection.open(port), [await HttpConnection.open(port) for _ in range(PILOTS)])

    async def timed(self, work: Any) -> Served:
        """Do some work; what was seen of it, with its time and our own CPU time."""
        self._start_clock()
        await work
        self._served.took_s = time.perf_counter() - self._started
        self._served.cpu_s = time.process_time() - self._cpu
        return self._served

    def _start_clock(self) -> None:
        self._served = Served()
        self._started, self._cpu = time.perf_counter(), time.process_time()

    async def submit(self, bodies: list[bytes]) -> None:
        for body in bodies:
            await self._send(self._user, "submit", post("/api/v1/job/submit", body, self._user_token))
            self._submitted += jobs.BUNCH

    async def acquire(self, count: int) -> None:
        left = count

        async def ask(pilot: HttpConnection) -> None:
            nonlocal left
            while left > 0:
                left -= 1
                if await self._take(pilot) is None:
                    raise BenchError("no jobs, although some wait")

        await self._all(ask)

    async def ask_in_vain(self, asks: list[dict[str, Any]]) -> None:
        for fields in asks:
            if (await self._send(self._pilots[0], "acquire", self._ask(fields)))["success"]:
                raise BenchError(f"a job fits a pilot that it should not: {fields}")

    async def update(self, states: list[tuple[int, str]]) -> None:
        requests = deque(self._report(job_id, job_id, state) for job_id, state in states)
        self._start_clock()

        async def tell(pilot: HttpConnection) -> None:
            while requests:
                await self._send(pilot, "update", requests.popleft())

        await self._all(tell)

    async def live(self, what: tuple[list[bytes], int]) -> None:
        bodies, count = what
        self._submitted = self._taken = self._ended = 0

        async def be_pilot(pilot: HttpConnection) -> None:
            while self._taken < count:
                job = await self._take(pilot)
                if job is None:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self._taken += 1
                number = int(job["outFiles"].split(".")[1])
                for state in ("starting", "running", "running", "finished"):
                    await self._send(pilot, state, self._report(job["PandaID"], number, state))

        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit_as_taken(bodies))
            group.create_task(self._all(be_pilot))

    async def _submit_as_taken(self, bodies: list[bytes]) -> None:
        for body in bodies:
            while self._submitted - self._taken >= BACKLOG:
                await asyncio.sleep(_PAUSE_S)
            await self.submit([body])

    async def _take(self, pilot: HttpConnection) -> dict[str, Any] | None:
        """A job, or None when there is none for us."""
        answer = await self._send(pilot, "acquire", self._ask({}))
        if not answer["success"]:
            return None
        job: dict[str, Any] = answer["data"]["jobs"][0]
        self._served.job_ids.append(job["PandaID"])
        return job

    def _ask(self, fields: dict[str, Any]) -> bytes:
        """A request of a new worker: one that asks twice is given the same job twice."""
        self._workers += 1
        ask = _ACQUIRE | {"worker_id": self._workers} | fields
        return post("/api/v1/pilot/acquire_jobs", orjson.dumps(ask), self._token)

    async def _send(self, connection: HttpConnection, kind: str, request: bytes) -> dict[str, Any]:
        started = time.perf_counter()
        status, body = await connection.send(request)
        self._served.latencies_ms.setdefault(kind, []).append((time.perf_counter() - started) * 1000)
        answer: dict[str, Any] = orjson.loads(body)
        if status != 200 or not (answer["success"] or kind == "acquire"):
            raise BenchError(f"{kind} was answered {status} {body[:200]!r}")
        return answer

    def _report(self, job_id: int, number: int, state: str) -> bytes:
        fields = jobs.report_fields(job_id, number, state)
        return post("/api/v1/pilot/update_job", orjson.dumps(fields), self._token)

    async def _all(self, work: Callable[[HttpConnection], Any]) -> None:
        async with asyncio.TaskGroup() as group:
            for pilot in self._pilots:
                group.create_task(work(pilot))
