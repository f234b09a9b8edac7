"""Simulated users and pilots that keep a running system busy over HTTP, with what goes wrong in real life."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console

from broker.publish import BrokerPublisher
from lab.site import SOURCE_STORAGE, LabFiles, storage_of
from lab.traffic_cast import (
    BLACK_HOLE,
    PLACES,
    USERS,
    Place,
    Task,
    lay_outputs,
    outcome,
    stored,
    submission,
)
from lab.traffic_line import Line
from lab.traffic_view import View
from panda_fsm.effects import Outgoing
from panda_fsm.messages import new_message_id

BACKLOG = 1500
"""Jobs that wait at a place before its users send no more: a slow site piles up so far."""
TASK_S = 30.0
_BUNCH = 50
_TICK_S = 1.0
_IDLE_S = (1.0, 3.0)
_KILL_EVERY_S, _POISON_EVERY_S = 7.0, 45.0
_MOVING, _NOWHERE, _SILENT = 0.2, 0.03, 0.002
"""Tasks whose outputs move, tasks whose input is nowhere, jobs whose pilot falls silent."""
_BROKEN_S = 0.5
_REMEMBERED = 2000
_CONFIRM_S = 10.0


@dataclass(slots=True)
class Counts:
    """What happened so far, by place."""

    submitted: Counter[str] = field(default_factory=Counter)
    taken: Counter[str] = field(default_factory=Counter)
    finished: Counter[str] = field(default_factory=Counter)
    failed: Counter[str] = field(default_factory=Counter)
    killed: int = 0
    silent: int = 0
    poison: int = 0

    def waiting(self, place: Place) -> int:
        """Jobs that users sent there and no pilot took."""
        return self.submitted[place.queue] - self.taken[place.queue]


class Traffic:
    """All of it, until `ending` is set; pilots then report at once what they have in hand."""

    def __init__(self, line: Line, lab: LabFiles, rate: float, ending: asyncio.Event, chance: random.Random) -> None:
        self._line, self._lab, self._rate, self._ending, self._chance = line, lab, rate, ending, chance
        self._tasks: dict[str, tuple[Task, float]] = {}
        self._run = self._next_task = int(time.time())
        self._numbers = 0
        self._workers = 0
        self._recent: deque[tuple[int, str]] = deque(maxlen=_REMEMBERED)
        self.counts = Counts()

    async def run(self, publish: Callable[[bytes, str], bool]) -> None:
        """`publish` sends a body to a queue of the broker, as it is."""
        async with asyncio.TaskGroup() as group:
            group.create_task(self._submit())
            group.create_task(self._kill())
            group.create_task(self._poison(publish))
            for place in PLACES:
                for slot in range(place.slots):
                    group.create_task(self._be_pilot(place, place.nodes[slot % len(place.nodes)]))

    async def _submit(self) -> None:
        begun, sent = time.monotonic(), 0
        while not self._ending.is_set():
            due = int((time.monotonic() - begun) * self._rate) - sent
            open_places = [one for one in PLACES if self.counts.waiting(one) < BACKLOG]
            while due > 0 and open_places and not self._ending.is_set():
                [place] = self._chance.choices(open_places, [one.share for one in open_places])
                jobs = min(due, _BUNCH)
                await self._send(self._task(place), jobs)
                due, sent = due - jobs, sent + jobs
            sent += due  # what nobody would take is not made up for later
            await self._pause(_TICK_S)

    async def _send(self, task: Task, jobs: int) -> None:
        numbers = range(self._numbers + 1, self._numbers + jobs + 1)
        self._numbers += jobs
        answer = await self._line.ask("/api/v1/job/submit", submission(task, numbers), task.user)
        for one in answer.get("data") or ():
            self._recent.append((int(one[0]), task.user))
        if answer.get("data") and task.has_input:
            self.counts.submitted[task.place.queue] += jobs

    def _task(self, place: Place) -> Task:
        """The task to which users of a place add jobs now."""
        task, since = self._tasks.get(place.queue, (None, 0.0))
        if task is None or time.monotonic() - since > TASK_S:
            home = storage_of(place.queue)
            moves, is_there = self._chance.random() < _MOVING, self._chance.random() >= _NOWHERE
            destination = SOURCE_STORAGE if moves else home
            task = Task(self._next_task, self._chance.choice(USERS), place, destination, is_there)
            self._next_task += 1
            # Each input lies elsewhere first: the DDM brings it, once for all jobs of the task.
            task.lay_input(self._lab.storage(SOURCE_STORAGE))
            self._tasks[place.queue] = task, time.monotonic()
        return task

    async def _be_pilot(self, place: Place, node: str) -> None:
        await self._pause(self._chance.uniform(0, _IDLE_S[1]))
        while not self._ending.is_set():
            job = await self._take(place, node)
            if job is None:
                await self._pause(self._chance.uniform(*_IDLE_S))
                continue
            self.counts.taken[place.queue] += 1
            await self._live(place, node, job)

    async def _take(self, place: Place, node: str) -> dict[str, Any] | None:
        """A job for a new worker: one that asks twice is given the same job twice."""
        self._workers += 1
        worker = f"{self._run}.{self._workers}"
        ask = {
            "site_name": place.queue, "computing_element": place.queue, "prod_source_label": "user", "node": node,
            "disk_space": 20000, "memory": 24000, "scheduler_id": "traffic", "worker_id": worker,
        }  # fmt: skip
        answer = await self._line.ask("/api/v1/pilot/acquire_jobs", ask, "traffic-pilot")
        jobs = (answer.get("data") or {}).get("jobs") or [] if answer.get("success") else []
        return jobs[0] if jobs else None

    async def _live(self, place: Place, node: str, job: dict[str, Any]) -> None:
        """Report as a pilot does, unless this is one of those that are never heard of again."""
        said: dict[str, Any] = {
            "job_id": int(job["PandaID"]), "attempt_nr": int(job.get("attemptNr") or 1), "site_name": place.queue,
            "node": node, "pilot_id": "traffic|none|PR|3.11.5.1", "core_count": 1,
        }  # fmt: skip
        if self._chance.random() < _SILENT:
            self.counts.silent += 1
            return
        seconds = _BROKEN_S if node == BLACK_HOLE else self._chance.uniform(*place.seconds)
        for state, share in (("starting", 0.1), ("running", 0.9)):
            if "tobekilled" in await self._tell(said | {"job_status": state}):
                await self._tell(said | {"job_status": "failed", "pilot_error_code": 1144})
                return
            await self._pause(seconds * share)
        last = outcome(place, node, str(job.get("prodUserID") or "somebody"), self._chance)
        (self.counts.failed if last else self.counts.finished)[place.queue] += 1
        await self._tell(said | (last | {"job_status": "failed"} if last else self._stored(place, job)))

    def _stored(self, place: Place, job: dict[str, Any]) -> dict[str, Any]:
        lfns = [lfn for lfn in str(job["outFiles"]).split(",") if lfn]
        if storage_of(place.queue) not in str(job.get("destinationSE") or ""):
            lay_outputs(self._lab.storage(storage_of(place.queue)), lfns)
        return {
            "job_status": "finished", "job_output_report": stored(lfns, int(job["PandaID"]), place.queue),
            "cpu_consumption_time": 17, "pilot_error_code": 0, "trans_exit_code": 0, "exe_error_code": 0,
        }  # fmt: skip

    async def _tell(self, fields: dict[str, Any]) -> str:
        """The command that comes back."""
        answer = await self._line.ask("/api/v1/pilot/update_job", fields, "traffic-pilot")
        return str((answer.get("data") or {}).get("command") or "")

    async def _kill(self) -> None:
        """Now and then a user thinks better of it."""
        while not await self._pause(_KILL_EVERY_S):
            if self._recent:
                job_id, user = self._chance.choice(self._recent)
                answer = await self._line.ask("/api/v1/job/kill", {"job_ids": [job_id]}, user)
                self.counts.killed += sum(answer.get("data") or ())

    async def _poison(self, publish: Callable[[bytes, str], bool]) -> None:
        """Now and then somebody sends what no service can read."""
        while not await self._pause(_POISON_EVERY_S):
            number = self.counts.poison + 1
            queue = "watcher" if number % 3 else "setupper"
            body = f"poison {number}: no JSON" if number % 2 else f'{{"msg_type": "job_event", "job_id": "x{number}"}}'
            self.counts.poison += await asyncio.to_thread(publish, body.encode(), queue)

    async def _pause(self, seconds: float) -> bool:
        """Wait; True when it is over."""
        try:
            await asyncio.wait_for(self._ending.wait(), seconds)
        except TimeoutError:
            return False
        return True


def run(port: int, broker_url: str, lab: LabFiles, rate: float, minutes: float | None, console: Console) -> None:
    """Traffic for so long, or until Ctrl-C or SIGTERM."""
    publisher = BrokerPublisher(broker_url, "traffic")
    publisher.start()

    def publish(body: bytes, queue: str) -> bool:
        return bool(publisher.publish([Outgoing(new_message_id(), "", queue, body)], _CONFIRM_S).confirmed)

    try:
        asyncio.run(_run(port, lab, rate, minutes, console, publish))
    finally:
        publisher.stop()


async def _run(
    port: int, lab: LabFiles, rate: float, minutes: float | None, console: Console,
    publish: Callable[[bytes, str], bool],
) -> None:  # fmt: skip
    ending = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, ending.set)
    if minutes is not None:
        loop.call_later(minutes * 60, ending.set)
    line = Line(port, ending)
    traffic = Traffic(line, lab, rate, ending, random.Random())
    view = View(console, traffic.counts, line)
    watching = asyncio.create_task(view.watch(ending))
    try:
        await traffic.run(publish)
    finally:
        ending.set()
        await watching
        line.close()
    view.sum_up()
