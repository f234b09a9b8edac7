"""Measure 3: acquires and updates a second over HTTP, with few and with many jobs waiting; updates also packed."""

from __future__ import annotations

import time
from typing import Any

from bench import processes, waiting
from bench.crowd import Served
from bench.figures import spread
from bench.pilots import PilotProcess
from bench.plant import BenchError, Plant
from bench.processes import Cost

ROUND = 1000
"""Acquires between two counts of the waiting jobs, so that about the wanted number waits all the time."""
_PATIENCE_S = 60.0


class Rates:
    """Acquires and updates with a number of jobs waiting: how many a second, how long each took, at what cost."""

    def __init__(
        self, jobs: int, acquired: list[Served], updated: Served, packed: Served, costs: tuple[Cost, Cost, Cost]
    ) -> None:
        self._jobs = jobs
        self._acquire_ms = [ms for served in acquired for ms in served.latencies_ms["acquire"]]
        self._update_ms = updated.latencies_ms["update"]
        self.acquires_per_s = len(self._acquire_ms) / sum(served.took_s for served in acquired)
        self.updates_per_s = len(self._update_ms) / updated.took_s
        self._packed_ms = packed.latencies_ms["update"]
        self.packed_updates_per_s = len(self._packed_ms) / packed.took_s
        self._costs = costs

    @property
    def acquire(self) -> dict[str, float]:
        return spread(self._acquire_ms)

    @property
    def update(self) -> dict[str, float]:
        return spread(self._update_ms)

    def as_json(self) -> dict[str, Any]:
        """For the details of the result. The cost of a job is that of one request here."""
        acquires, updates, packed = self._costs
        return {
            "waiting": self._jobs,
            "acquires": len(self._acquire_ms),
            "acquires_per_s": round(self.acquires_per_s, 1),
            "acquire": {**self.acquire, **acquires.as_json(len(self._acquire_ms))},
            "updates": len(self._update_ms),
            "updates_per_s": round(self.updates_per_s, 1),
            "update": {**self.update, **updates.as_json(len(self._update_ms))},
            "packed_updates_per_s": round(self.packed_updates_per_s, 1),
            "packed_update": {**spread(self._packed_ms), **packed.as_json(len(self._packed_ms))},
        }


def measure(plant: Plant, pilots: PilotProcess, jobs: int, rounds: int) -> Rates:
    """Acquire in rounds, then report starting, running and running again for them, and once more packed."""
    acquired, acquiring = [], []
    for _ in range(rounds):
        waiting.fill(plant, jobs + ROUND // 2)
        with plant.metered() as costs:
            acquired.append(pilots.acquire(ROUND))
        acquiring += costs
    taken = [job_id for served in acquired for job_id in served.job_ids]
    if len(set(taken)) != len(taken):
        raise BenchError("a job was handed to two pilots")
    with plant.metered() as updating:
        updated = pilots.update([(job_id, state) for state in ("starting", "running", "running") for job_id in taken])
    _await_running(plant, taken)
    with plant.metered() as packing:
        packed = pilots.update([(job_id, "running") for job_id in taken], "gzip")
    _await_running(plant, taken)
    return Rates(jobs, acquired, updated, packed, (processes.together(acquiring), updating[0], packing[0]))


def _await_running(plant: Plant, job_ids: list[int]) -> None:
    """Let the Watcher finish with what was reported: the next measurement starts from rest."""
    deadline = time.monotonic() + _PATIENCE_S
    query = "SELECT count(*) FROM job WHERE job_id = ANY(%(ids)s) AND state <> 'running'"
    while left := plant.value(query, ids=job_ids):
        if time.monotonic() > deadline:
            raise BenchError(f"{left} jobs reported as running are not running in the database")
        time.sleep(0.1)
    while plant.messages_waiting():
        if time.monotonic() > deadline:
            raise BenchError("the queues do not get empty")
        time.sleep(0.1)
