"""Simulated pilots and users: what they ask, in which order, and what they saw."""

from __future__ import annotations

import asyncio
import gzip
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from typing import Any, Protocol

import orjson

from bench import jobs
from bench.figures import percentile
from bench.plant import BenchError
from lab.http_client import HttpConnection, OneRequestEach, post
from lab.site import QUEUE, unsigned_token

BACKLOG = 2000
_ACQUIRE = {
    "site_name": QUEUE, "computing_element": QUEUE, "prod_source_label": "user", "disk_space": 20000, "memory": 24000,
    "node": "wn042.bench", "scheduler_id": "bench",
}  # fmt: skip
_PAUSE_S = 0.02
_LONE = 50
"""Requests by which it is known how long one takes when nobody else asks."""
_QUIET_S = 10.0


class Caller(Protocol):
    """Sends a whole request; returns status and body."""

    async def send(self, request: bytes) -> tuple[int, bytes]: ...


@dataclass(slots=True)
class Served:
    """What pilots saw: seconds from first to last request, latencies in ms by kind of request, jobs taken."""

    took_s: float = 0.0
    cpu_s: float = 0.0
    latencies_ms: dict[str, list[float]] = field(default_factory=dict)
    job_ids: list[int] = field(default_factory=list)


@dataclass(slots=True)
class Burst:
    """What came of many who asked at once: latencies in ms of the served and of those turned away.

    `recovered_s` is, round by round, how long after the last answer a lone request was as quick again as before.
    """

    served_ms: list[float] = field(default_factory=list)
    shed_ms: list[float] = field(default_factory=list)
    recovered_s: list[float] = field(default_factory=list)


class Crowd:
    """All pilots and one user, each with a connection of its own or, as real pilots do, with one for each request."""

    def __init__(self, port: int, user: Caller, pilots: Sequence[Caller]) -> None:
        self._port = port
        self._user = user
        self._pilots = pilots
        self._start_clock()
        self._user_token = unsigned_token("bench-user", "bench")
        self._token = unsigned_token("bench-pilot", "bench")
        self._submitted = self._taken = self._ended = self._workers = 0

    @classmethod
    async def gather(cls, port: int, pilots: int, connects_anew: bool) -> Crowd:
        """Connect everybody."""
        user = await HttpConnection.open(port)
        if connects_anew:
            return cls(port, user, [OneRequestEach(port) for _ in range(pilots)])
        return cls(port, user, [await HttpConnection.open(port) for _ in range(pilots)])

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

        async def ask(pilot: Caller) -> None:
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

    async def update(self, states: list[tuple[int, str]], encoding: str) -> None:
        requests = deque(self._report(job_id, job_id, state, encoding) for job_id, state in states)
        self._start_clock()

        async def tell(pilot: Caller) -> None:
            while requests:
                await self._send(pilot, "update", requests.popleft())

        await self._all(tell)

    async def live(self, bodies: list[bytes], count: int, described: list[int]) -> None:
        self._submitted = self._taken = self._ended = 0

        async def be_pilot(pilot: Caller) -> None:
            while self._taken < count:
                job = await self._take(pilot)
                if job is None:
                    await asyncio.sleep(_PAUSE_S)
                    continue
                self._taken += 1
                number = int(job["outFiles"].split(".")[1])
                for state in ("starting", "running", "running", "finished"):
                    await self._send(pilot, state, self._report(job["PandaID"], number, state))

        reading = asyncio.create_task(self._describe(described)) if described else None
        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit_as_taken(bodies))
            group.create_task(self._all(be_pilot))
        if reading is not None:
            reading.cancel()
            with suppress(asyncio.CancelledError):
                await reading  # what went wrong with it is said here

    async def burst(self, connections: int, rounds: int) -> Burst:
        """Ask at once; then one alone asks until it is answered as quickly as before."""
        many = [await HttpConnection.open(self._port) for _ in range(connections)]
        found = Burst()
        usual_ms = percentile([await self._ask_alone() for _ in range(_LONE)], 0.99)
        for _ in range(rounds):
            await asyncio.gather(*(self._ask_in_crowd(one, found) for one in many))
            ended = time.perf_counter()
            while await self._ask_alone() > 2 * usual_ms:
                if time.perf_counter() - ended > _QUIET_S:
                    raise BenchError(f"{_QUIET_S:.0f} s after the burst a lone request is slower than before")
            found.recovered_s.append(time.perf_counter() - ended)
        for one in many:
            one.close()
        return found

    async def _ask_in_crowd(self, pilot: HttpConnection, found: Burst) -> None:
        started = time.perf_counter()
        status, body = await pilot.send(self._ask({}))
        taken_ms = (time.perf_counter() - started) * 1000
        if status not in (200, 503):
            raise BenchError(f"a request of a burst was answered {status} {body[:200]!r}")
        (found.served_ms if status == 200 else found.shed_ms).append(taken_ms)

    async def _ask_alone(self) -> float:
        """Milliseconds."""
        started = time.perf_counter()
        await self._take(self._pilots[0])
        return (time.perf_counter() - started) * 1000

    async def _describe(self, job_ids: list[int]) -> None:
        """Another user reads, one answer after another, until it is told to stop."""
        reader = await HttpConnection.open(self._port)
        body = orjson.dumps({"job_ids": job_ids})
        while True:
            answer = await self._send(reader, "describe", post("/api/v1/job/get_description", body, self._user_token))
            if len(answer["data"]) != len(job_ids):
                raise BenchError(f"{len(answer['data'])} of {len(job_ids)} jobs were described")

    async def _submit_as_taken(self, bodies: list[bytes]) -> None:
        for body in bodies:
            while self._submitted - self._taken >= BACKLOG:
                await asyncio.sleep(_PAUSE_S)
            await self.submit([body])

    async def _take(self, pilot: Caller) -> dict[str, Any] | None:
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

    async def _send(self, caller: Caller, kind: str, request: bytes) -> dict[str, Any]:
        started = time.perf_counter()
        status, body = await caller.send(request)
        self._served.latencies_ms.setdefault(kind, []).append((time.perf_counter() - started) * 1000)
        answer: dict[str, Any] = orjson.loads(body)
        if status != 200 or not (answer["success"] or kind == "acquire"):
            raise BenchError(f"{kind} was answered {status} {body[:200]!r}")
        return answer

    def _report(self, job_id: int, number: int, state: str, encoding: str = "") -> bytes:
        body = orjson.dumps(jobs.report_fields(job_id, number, state))
        packed = gzip.compress(body) if encoding == "gzip" else body
        return post("/api/v1/pilot/update_job", packed, self._token, encoding)

    async def _all(self, work: Callable[[Caller], Any]) -> None:
        async with asyncio.TaskGroup() as group:
            for pilot in self._pilots:
                group.create_task(work(pilot))
