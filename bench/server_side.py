"""Measure 1: lifecycles a second on the server side, without HTTP: requests exchange in, claim, reports in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import jobs
from bench.plant import BenchError, Plant
from bench.processes import Cost
from bench.verify import check_jobs, hops
from broker.publish import BrokerPublisher
from lab.site import QUEUE
from panda_fsm.dispatch import Filters, Seat
from panda_fsm.effects import Outgoing
from panda_fsm.events import new_message_id
from sql.gateway_store import GatewayStore

IN_FLIGHT = 4000
"""Jobs submitted and not yet final: enough that no service ever waits for the driver, and no queue grows for ever."""
SEATS = 200
PILOT_FARMS = 2
_PAUSE_S = 0.02
_CONFIRM_S = 30.0
_S_PER_JOB = 0.05
_GRACE_S = 60.0


@dataclass(slots=True)
class Load:
    """Jobs of one measurement, and all messages about them, encoded before the clock starts."""

    task_id: int
    moving: bool
    job_ids: list[int]
    submissions: list[Outgoing]
    reports: dict[int, list[Outgoing]]


@dataclass(slots=True)
class Outcome:
    """What came of a load: seconds from the first submission until the database said `finished` for all."""

    jobs: int
    wall_s: float
    transitions: int
    cost: Cost
    hops: dict[str, Any] = field(default_factory=dict)

    @property
    def lifecycles_per_s(self) -> float:
        return self.jobs / self.wall_s

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {
            "jobs": self.jobs,
            "wall_s": round(self.wall_s, 2),
            "lifecycles_per_s": round(self.lifecycles_per_s, 1),
            "transitions_per_s": round(self.transitions / self.wall_s, 1),
            "hops": self.hops,
            **self.cost.as_json(self.jobs),
        }


def prepare(plant: Plant, count: int, task_id: int, moving: bool = False, bunch: int = jobs.BUNCH) -> Load:
    """Make the messages and lay the inputs: at the queue's storage, or elsewhere when they shall be moved."""
    job_ids = plant.job_ids(count)
    jobs.lay_inputs(plant.lab.source_storage if moving else plant.lab.queue_storage, job_ids)
    drafts = [jobs.draft(job_id, task_id, jobs.home_of(moving)) for job_id in job_ids]
    reports = {job_id: jobs.reports(job_id) for job_id in job_ids}
    return Load(task_id, moving, job_ids, jobs.submissions(drafts, bunch), reports)


def measure(plant: Plant, load: Load) -> Outcome:
    """Send the load through and wait for its end; then check that everything is as it should be."""
    wall_s, cost = asyncio.run(_Driver(plant, load).run())
    transitions = check_jobs(plant, load.job_ids)
    if load.moving:
        _check_moved(plant, load.job_ids)
    return Outcome(len(load.job_ids), wall_s, transitions, cost, hops(plant, load.task_id))


class _Driver:
    """Submits as fast as jobs are taken, and plays all pilots: claim, then starting, running, finished at once."""

    def __init__(self, plant: Plant, load: Load) -> None:
        self._load = load
        self._plant = plant
        self._publisher = BrokerPublisher(plant.broker_url, "bench")
        self._store = GatewayStore(plant.database_url, PILOT_FARMS, 30.0, plant.settings.deadline_s)
        self._submitted = 0
        self._claimed = 0
        self._ended_before = 0
        self._give_up_at = time.monotonic() + _GRACE_S + _S_PER_JOB * len(load.job_ids)

    async def run(self) -> tuple[float, Cost]:
        """Until all jobs have ended; returns the seconds that took, and what it cost."""
        self._publisher.start()
        await self._store.open()
        await asyncio.to_thread(self._publisher.ready.wait, _CONFIRM_S)
        try:
            self._ended_before = self._plant.final_jobs()
            with self._plant.metered() as costs:
                started = time.monotonic()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._submit())
                    for _ in range(PILOT_FARMS):
                        group.create_task(self._be_pilots())
                left_s = self._give_up_at - time.monotonic()
                self._plant.await_final(self._ended_before + len(self._load.job_ids), left_s)
                wall_s = time.monotonic() - started
            return wall_s, costs[0]
        finally:
            await self._store.close()
            await asyncio.to_thread(self._publisher.stop)

    async def _submit(self) -> None:
        waiting = list(self._load.submissions)
        while waiting:
            ended = self._plant.final_jobs() - self._ended_before
            room = (IN_FLIGHT - (self._submitted - ended)) // jobs.BUNCH
            if room <= 0:
                await self._pause()
                continue
            bunches, waiting = waiting[:room], waiting[room:]
            await self._publish(bunches)
            self._submitted += len(bunches) * jobs.BUNCH

    async def _be_pilots(self) -> None:
        count = len(self._load.job_ids)
        filters = Filters(site=QUEUE)
        while self._claimed < count:
            seats = [Seat(new_message_id(), "bench|pilot", "wn042.bench", {}) for _ in range(SEATS)]
            claim = await self._store.claim(filters, seats)
            taken = [job.job_id for job in claim.jobs if job is not None]
            self._claimed += len(taken)
            if self._load.moving:
                jobs.lay_outputs(self._plant.lab.queue_storage, taken)
            if taken:
                await self._publish([*claim.events, *(one for j in taken for one in self._load.reports[j])])
                await self._store.forget_published([event.message_id for event in claim.events])
            if len(taken) < SEATS:
                await self._pause()

    async def _publish(self, messages: Sequence[Outgoing]) -> None:
        confirmed = await asyncio.to_thread(self._publisher.publish, messages, _CONFIRM_S)
        if len(confirmed) < len(messages):
            raise BenchError(f"the broker confirmed {len(confirmed)} of {len(messages)} messages")

    async def _pause(self) -> None:
        if time.monotonic() > self._give_up_at:
            raise BenchError(f"only {self._claimed} of {len(self._load.job_ids)} jobs were activated in time")
        await asyncio.sleep(_PAUSE_S)


def _check_moved(plant: Plant, job_ids: Sequence[int]) -> None:
    missing = [path for path in jobs.output_places(plant.lab.source_storage, job_ids) if not path.is_file()]
    if missing:
        raise BenchError(f"{len(missing)} outputs did not reach their destination, {missing[0]} among them")
