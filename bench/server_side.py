"""Measure 1: lifecycles a second on the server side, without HTTP: requests exchange in, claim, reports in."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import jobs
from bench.plant import BenchError, Plant
from bench.processes import Cost
from bench.traffic import SEATS, Traffic
from bench.verify import check_jobs, hops
from panda_fsm.effects import Outgoing

IN_FLIGHT = 4000
"""Jobs submitted and not yet final: enough that no service ever waits for the driver, and no queue grows for ever."""
PILOT_FARMS = 2
PAUSE_S = 0.02
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


def prepare(
    plant: Plant,
    count: int,
    task_id: int,
    moving: bool = False,
    bunch: int = jobs.BUNCH,
    *,
    tasks: int = 1,
    is_jedis: bool = False,
) -> Load:
    """Make the messages and lay the inputs: at the queue's storage, or elsewhere when they shall be moved.

    Each bunch is of one of the tasks, whose ids begin with `task_id`.
    """
    job_ids = plant.job_ids(count)
    jobs.lay_inputs(plant.lab.source_storage if moving else plant.lab.queue_storage, job_ids)
    drafts = [
        jobs.draft(job_id, task_id + number // bunch % tasks, jobs.home_of(moving), is_jedis=is_jedis)
        for number, job_id in enumerate(job_ids)
    ]
    reports = {job_id: jobs.reports(job_id) for job_id in job_ids}
    return Load(task_id, moving, job_ids, jobs.submissions(drafts, bunch), reports)


def measure(plant: Plant, load: Load, await_rest: Callable[[float], None] | None = None) -> Outcome:
    """Send the load through and wait for its end; then check that everything is as it should be.

    `await_rest` returns when what else belongs to it is done too; it is given the time to give up at.
    """
    wall_s, cost = asyncio.run(_Driver(plant, load).run(await_rest))
    transitions = check_jobs(plant, load.job_ids)
    if load.moving:
        _check_moved(plant, load.job_ids)
    return Outcome(len(load.job_ids), wall_s, transitions, cost, hops(plant, load.task_id))


class _Driver:
    """Submits as fast as jobs are taken, and plays all pilots: claim, then starting, running, finished at once."""

    def __init__(self, plant: Plant, load: Load) -> None:
        self._load = load
        self._plant = plant
        self._traffic = Traffic(plant, PILOT_FARMS)
        self._submitted = 0
        self._claimed = 0
        self._ended_before = 0
        self._give_up_at = time.monotonic() + _GRACE_S + _S_PER_JOB * len(load.job_ids)

    async def run(self, await_rest: Callable[[float], None] | None) -> tuple[float, Cost]:
        """Until all jobs have ended, and the rest is done; returns the seconds that took, and what it cost."""
        async with self._traffic:
            self._ended_before = self._plant.final_jobs()
            with self._plant.metered() as costs:
                started = time.monotonic()
                async with asyncio.TaskGroup() as group:
                    group.create_task(self._submit())
                    for _ in range(PILOT_FARMS):
                        group.create_task(self._be_pilots())
                left_s = self._give_up_at - time.monotonic()
                self._plant.await_final(self._ended_before + len(self._load.job_ids), left_s)
                if await_rest is not None:
                    await_rest(self._give_up_at)
                wall_s = time.monotonic() - started
            return wall_s, costs[0]

    async def _submit(self) -> None:
        waiting = list(self._load.submissions)
        while waiting:
            ended = self._plant.final_jobs() - self._ended_before
            room = (IN_FLIGHT - (self._submitted - ended)) // jobs.BUNCH
            if room <= 0:
                await self._pause()
                continue
            bunches, waiting = waiting[:room], waiting[room:]
            await self._traffic.publish(bunches)
            self._submitted += len(bunches) * jobs.BUNCH

    async def _be_pilots(self) -> None:
        while self._claimed < len(self._load.job_ids):
            taken = await self._traffic.live(self._reports)
            self._claimed += taken
            if taken < SEATS:
                await self._pause()

    def _reports(self, job_ids: Sequence[int]) -> list[Outgoing]:
        if self._load.moving:
            jobs.lay_outputs(self._plant.lab.queue_storage, job_ids)
        return [one for job_id in job_ids for one in self._load.reports[job_id]]

    async def _pause(self) -> None:
        if time.monotonic() > self._give_up_at:
            raise BenchError(f"only {self._claimed} of {len(self._load.job_ids)} jobs were activated in time")
        await asyncio.sleep(PAUSE_S)


def _check_moved(plant: Plant, job_ids: Sequence[int]) -> None:
    missing = [path for path in jobs.output_places(plant.lab.source_storage, job_ids) if not path.is_file()]
    if missing:
        raise BenchError(f"{len(missing)} outputs did not reach their destination, {missing[0]} among them")
