"""Measure 8: minutes of steady load with archiving on: does it stay as fast, and are relay and daemon in time?"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from bench import jobs
from bench.figures import percentile
from bench.gauges import Gauges, sizes
from bench.plant import BenchError, Plant
from bench.processes import Cost
from bench.server_side import PAUSE_S, PILOT_FARMS
from bench.traffic import SEATS, Traffic
from panda_fsm.effects import Outgoing
from panda_fsm.messages import SubmitJobs

ARCHIVE_AFTER_S = 30
PROBE_DEADLINE_S = 5
SETTINGS = {
    "PANDA_FSM_ARCHIVE_AFTER_S": str(ARCHIVE_AFTER_S),
    # Of pending jobs there are none but the probes.
    "PANDA_FSM_DEADLINES": f'{{"pending": {PROBE_DEADLINE_S}}}',
}
"""With these the processes run, so that a job is archived while the load goes on."""
FIFTHS = 5
_PROBE_EVERY_S = 3.0
_PROBE_QUEUE = "LAB_A"
_WARM_UP_S = 10.0
_GRACE_S = 60.0


@dataclass(slots=True)
class Outcome:
    """What came of it; `fifths` has the rate and the times of whole lifecycles by the time they ended."""

    offered_per_s: float
    wall_s: float
    jobs: int
    fifths: list[dict[str, float]]
    late_s: list[float]
    gauges: Gauges
    archived: int
    tables: dict[str, dict[str, float]]
    cost: Cost

    @property
    def last_to_first(self) -> float:
        """The rate of the last fifth to that of the first."""
        return self.fifths[-1]["jobs_per_s"] / self.fifths[0]["jobs_per_s"]

    @property
    def latest_s(self) -> float:
        """How late the latest deadline was acted on."""
        return max(self.late_s)

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {
            "offered_per_s": round(self.offered_per_s, 1),
            "wall_s": round(self.wall_s, 1),
            "jobs": self.jobs,
            "archived_meanwhile": self.archived,
            "fifths": self.fifths,
            "deadlines": {"probes": len(self.late_s), "late_p50_s": round(percentile(self.late_s, 0.5), 2),
                          "latest_s": round(self.latest_s, 2)},
            "greatest": self.gauges.greatest(),
            "tables": self.tables,
            **self.cost.as_json(self.jobs),
        }  # fmt: skip


def measure(plant: Plant, rate: float, minutes: float, task_id: int) -> Outcome:
    """Submit at a steady rate for so long, and wait until the last job has ended."""
    jobs.lay_inputs(plant.lab.queue_storage, [0])
    load = _Load(plant, rate, minutes * 60, task_id)
    with Gauges(plant.database_url) as gauges, plant.metered() as costs:
        asyncio.run(load.run())
    load.check()
    archived = plant.value("SELECT count(*) FROM job_archive WHERE task_id = %(task)s", task=task_id)
    return Outcome(
        rate, load.wall_s, len(load.job_ids), _fifths(plant, load), _late_s(plant, load.probes), gauges, archived,
        sizes(plant), costs[0],
    )  # fmt: skip


@dataclass(slots=True)
class _Load:
    """Users who submit in even steps, pilots that take what waits, and probes that nobody releases in time."""

    plant: Plant
    rate: float
    seconds: float
    task_id: int
    job_ids: list[int] = field(default_factory=list)
    probes: list[int] = field(default_factory=list)
    started_at: float = 0.0
    wall_s: float = 0.0
    _claimed: int = 0
    _submitting: bool = True
    _give_up_at: float = float("inf")

    async def run(self) -> None:
        """Returns when all jobs have ended, the probes too."""
        ended_before = self.plant.final_jobs()
        started = time.monotonic()
        self.started_at = time.time() + _WARM_UP_S
        async with Traffic(self.plant, PILOT_FARMS) as traffic, asyncio.TaskGroup() as group:
            group.create_task(self._probe(traffic))
            for _ in range(PILOT_FARMS):
                group.create_task(self._be_pilots(traffic))
            await self._submit(traffic)
            self._submitting = False
            self._give_up_at = time.monotonic() + _GRACE_S
        self.plant.await_final(ended_before + len(self.job_ids), _GRACE_S)
        self.wall_s = time.monotonic() - started

    async def _submit(self, traffic: Traffic) -> None:
        begun = time.monotonic()
        while (now := time.monotonic() - begun) < _WARM_UP_S + self.seconds:
            due = (int(now * self.rate) - len(self.job_ids)) // jobs.BUNCH * jobs.BUNCH
            if due > 0:
                ids = self.plant.job_ids(due)
                drafts = [jobs.draft(job_id, self.task_id, reads=0) for job_id in ids]
                await traffic.publish(jobs.submissions(drafts, jobs.BUNCH))
                self.job_ids += ids
            await asyncio.sleep(PAUSE_S)

    async def _probe(self, traffic: Traffic) -> None:
        while self._submitting:
            ids = self.plant.job_ids(1)
            draft = jobs.draft(ids[0], 0, site=_PROBE_QUEUE)
            await traffic.publish([Outgoing.of(SubmitJobs(owner=jobs.OWNER, to_pending=True, jobs=[draft]))])
            self.probes += ids
            await asyncio.sleep(_PROBE_EVERY_S)

    async def _be_pilots(self, traffic: Traffic) -> None:
        while self._submitting or self._claimed < len(self.job_ids):
            taken = await traffic.live(_reports)
            self._claimed += taken
            if time.monotonic() > self._give_up_at:
                raise BenchError(f"only {self._claimed} of {len(self.job_ids)} jobs were activated in time")
            if taken < SEATS:
                await asyncio.sleep(PAUSE_S)

    def check(self) -> None:
        """Raises BenchError unless every job finished, and nothing is left that should not be."""
        lost = self.plant.value(
            "SELECT count(*) FROM unnest(%(ids)s::bigint[]) AS id WHERE NOT EXISTS ("
            " SELECT FROM job_history h JOIN job_transition t USING (transition_id)"
            " WHERE h.job_id = id AND t.destination = 'finished')",
            ids=self.job_ids,
        )
        dead = self.plant.value("SELECT count(*) FROM dead_letter WHERE status = 'open'")
        if lost or dead:
            raise BenchError(f"{lost} jobs did not finish, {dead} dead letters")


def _reports(job_ids: Sequence[int]) -> list[Outgoing]:
    return [one for job_id in job_ids for one in jobs.reports(job_id)]


def _fifths(plant: Plant, load: _Load) -> list[dict[str, float]]:
    """Whole lifecycles by the fifth of the time in which they ended, the warm-up and the tail left out."""
    found = plant.rows(
        """
        WITH life AS (
            SELECT extract(epoch FROM max(h.at))::float8 - %(start)s::float8 AS ended,
                extract(epoch FROM max(h.at) - min(h.at))::float8 AS took
            FROM unnest(%(ids)s::bigint[]) AS id JOIN job_history h ON h.job_id = id GROUP BY id
        )
        SELECT width_bucket(ended, 0, %(seconds)s, %(fifths)s) AS fifth, count(*),
            percentile_cont(0.5) WITHIN GROUP (ORDER BY took), percentile_cont(0.95) WITHIN GROUP (ORDER BY took)
        FROM life WHERE ended BETWEEN 0 AND %(seconds)s - 0.001 GROUP BY 1 ORDER BY 1
        """,
        ids=load.job_ids, start=load.started_at, seconds=load.seconds, fifths=FIFTHS,
    )  # fmt: skip
    if len(found) != FIFTHS:
        raise BenchError(f"no job ended for a fifth of the time: {found}")
    return [
        {"jobs_per_s": round(count * FIFTHS / load.seconds, 1), "p50_s": round(p50, 3), "p95_s": round(p95, 3)}
        for _, count, p50, p95 in found
    ]


def _late_s(plant: Plant, probes: Sequence[int]) -> list[float]:
    """How long after its deadline each probe was ended."""
    deadline = time.monotonic() + _GRACE_S
    query = """
        SELECT extract(epoch FROM max(at) - min(at))::float8 FROM job_history WHERE job_id = ANY(%(ids)s)
        GROUP BY job_id HAVING count(*) = 2
        """
    while len(found := plant.rows(query, ids=list(probes))) < len(probes):
        if time.monotonic() > deadline:
            raise BenchError(f"{len(probes) - len(found)} of {len(probes)} deadlines were not acted on")
        time.sleep(0.2)
    return [stayed - PROBE_DEADLINE_S for (stayed,) in found]
