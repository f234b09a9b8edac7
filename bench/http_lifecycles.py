"""Measure 4: whole lifecycles over HTTP alone, as users and pilots live them."""

from __future__ import annotations

import time
from typing import Any

from bench import jobs
from bench.crowd import Served
from bench.figures import spread
from bench.pilots import PilotProcess
from bench.plant import Plant
from bench.processes import Cost
from bench.verify import check_jobs, hops

FIRST_NUMBER = 10_000_000
"""Numbers in file names, apart from the PandaIDs in those of the other measures; each task has its own."""
_OF_A_TASK = 1_000_000
_TAIL_S = 60.0


class Outcome:
    """What came of it: seconds from the first submission until the database said `finished` for all."""

    def __init__(self, count: int, wall_s: float, cost: Cost, served: Served, hops_ms: dict[str, Any]) -> None:
        self._count = count
        self._wall_s = wall_s
        self._cost = cost
        self._served = served
        self._hops = hops_ms

    @property
    def jobs_per_s(self) -> float:
        return self._count / self._wall_s

    def waited(self, kind: str) -> dict[str, float]:
        """Percentiles of one kind of request."""
        return spread(self._served.latencies_ms[kind])

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {
            "jobs": self._count,
            "wall_s": round(self._wall_s, 2),
            "jobs_per_s": round(self.jobs_per_s, 1),
            "requests": {kind: {"count": len(ms), **spread(ms)} for kind, ms in self._served.latencies_ms.items()},
            "hops": self._hops,
            **self._cost.as_json(self._count),
        }


def measure(
    plant: Plant, pilots: PilotProcess, count: int, task_id: int, described: list[int] | None = None
) -> Outcome:
    """Submit in bunches, acquire, starting, running twice, finished; then wait for the last job to end.

    Meanwhile the jobs `described` are described again and again.
    """
    first = FIRST_NUMBER + task_id * _OF_A_TASK
    numbers = list(range(first, first + count))
    jobs.lay_inputs(plant.lab.queue_storage, numbers)
    bodies = jobs.http_submissions(numbers, task_id)
    before = plant.final_jobs()
    with plant.metered() as costs:
        started = time.monotonic()
        served = pilots.live(bodies, count, described)
        plant.await_final(before + count, _TAIL_S)
        wall_s = time.monotonic() - started
    ids = [job_id for (job_id,) in plant.rows("SELECT job_id FROM job WHERE task_id = %(task)s", task=task_id)]
    check_jobs(plant, ids, count)
    return Outcome(count, wall_s, costs[0], served, hops(plant, task_id))
