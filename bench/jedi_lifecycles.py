"""Measure 14: lifecycles of JEDI's jobs beside those of others, in turn; JEDI hears of each step, and takes it."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from bench import server_side
from bench.plant import BenchError, Plant
from bench.processes import together
from bench.server_side import Outcome
from bench.status_reader import StatusReader, Told, reading, wait_taken
from lab.definitions import SHARDS
from lab.site import VO
from panda_fsm.status_queues import status_queues

TASKS = 20
"""Jobs of a load are of so many tasks, so that all status queues have work."""
STEPS = 7
"""Of each job: from defined to finished."""


@dataclass(frozen=True, slots=True)
class Sides:
    """Rounds without JEDI's jobs and with them, one after the other, so that both saw the same minutes."""

    without: list[Outcome]
    told: list[Outcome]
    repeated: int

    @property
    def ratio(self) -> float:
        """Lifecycles a second with JEDI's jobs, to those without."""
        return _rate(self.told) / _rate(self.without)

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        sides = {"without": self.without, "told": self.told}
        costs = {name: together([one.cost for one in side]) for name, side in sides.items()}
        return {
            name: {
                "jobs": sum(one.jobs for one in side),
                "lifecycles_per_s": [round(one.lifecycles_per_s, 1) for one in side],
                **costs[name].as_json(sum(one.jobs for one in side)),
            }
            for name, side in sides.items()
        } | {
            "statuses_told_twice": self.repeated,
            "cores_taken_by_strangers": round(max(cost.others_cores for cost in costs.values()), 2),
        }


def measure(plant: Plant, count: int, rounds: int, task_id: int) -> Sides:
    """`count` jobs each without JEDI and with, `rounds` times; a tenth of both goes before, to warm up."""
    sides = Sides([], [], 0)
    with reading(plant.broker_url, status_queues(VO, SHARDS)) as reader:
        wanted: list[int] = []
        for number in range(rounds + 1):
            jobs = count if number else max(100, count // 10)
            first = task_id + 2 * TASKS * number
            load = server_side.prepare(plant, jobs, first, tasks=TASKS)
            _vacuum(plant)
            without = server_side.measure(plant, load)
            load = server_side.prepare(plant, jobs, first + TASKS, tasks=TASKS, is_jedis=True)
            _vacuum(plant)
            wanted += load.job_ids
            told = server_side.measure(plant, load, partial(_await_told, plant, reader, len(wanted)))
            if number:
                sides.without.append(without)
                sides.told.append(told)
        repeated = _check(plant, wanted, reader.told())
    return Sides(sides.without, sides.told, repeated)


def _vacuum(plant: Plant) -> None:
    """Or autovacuum, once a minute, would do it while one of the sides is measured."""
    plant.database.execute("VACUUM (ANALYZE)")


def _rate(side: Sequence[Outcome]) -> float:
    return sum(one.jobs for one in side) / sum(one.wall_s for one in side)


def _await_told(plant: Plant, reader: StatusReader, jobs: int, until: float) -> None:
    """All statuses were written with the last step; now they are published, taken, and forgotten here."""
    wait_taken(reader, jobs * STEPS, until)
    while plant.value("SELECT count(*) FROM (SELECT FROM jedi_message LIMIT 1) AS left_over"):
        if time.monotonic() > until:
            raise BenchError("what JEDI was told is not forgotten")
        time.sleep(0.02)


def _check(plant: Plant, job_ids: Sequence[int], told: Sequence[Told]) -> int:
    """Raises BenchError unless JEDI heard of all steps, in order and with what belongs to it.

    Returns how many it heard of twice.
    """
    wanted: dict[int, list[str]] = defaultdict(list)
    for job_id, state in plant.rows(
        "SELECT h.job_id, t.destination FROM job_history h JOIN job_transition t USING (transition_id)"
        " WHERE h.job_id = ANY(%(ids)s) ORDER BY h.job_id, h.version",
        ids=list(job_ids),
    ):
        wanted[job_id].append(state)
    heard: dict[int, list[str]] = defaultdict(list)
    last: dict[int, int] = {}
    repeated = 0
    for one in told:
        if one.seq <= last.get(one.job_id, 0):
            repeated += 1
            continue
        last[one.job_id] = one.seq
        heard[one.job_id].append(one.status)
        if not one.is_whole:
            raise BenchError(f"job {one.job_id}: the status {one.status} does not name JEDI's files")
    for job_id in job_ids:
        if heard[job_id] != wanted[job_id]:
            raise BenchError(f"job {job_id}: JEDI heard of {heard[job_id]} instead of {wanted[job_id]}")
    return repeated
