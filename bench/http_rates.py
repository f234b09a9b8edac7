"""Measure 3: acquires and updates a second over HTTP, with few and with many jobs waiting."""

from __future__ import annotations

import time
from typing import Any

from psycopg import sql as statements

from bench import jobs, processes
from bench.figures import spread
from bench.http_lifecycles import FIRST_NUMBER
from bench.pilots import PilotProcess, Served
from bench.plant import BenchError, Plant
from bench.processes import Cost
from lab.site import QUEUE

ROUND = 1000
"""Acquires between two counts of the waiting jobs, so that about the wanted number waits all the time."""
_TEMPLATE = FIRST_NUMBER - 1
_TABLES = ("job", "job_spec", "job_file", "job_deadline", "job_waiting")
_KEPT = "template_"
_PATIENCE_S = 60.0


class Rates:
    """Acquires and updates with a number of jobs waiting: how many a second, how long each took, at what cost."""

    def __init__(self, waiting: int, acquired: list[Served], updated: Served, costs: tuple[Cost, Cost]) -> None:
        self._waiting = waiting
        self._acquire_ms = [ms for served in acquired for ms in served.latencies_ms["acquire"]]
        self._update_ms = updated.latencies_ms["update"]
        self.acquires_per_s = len(self._acquire_ms) / sum(served.took_s for served in acquired)
        self.updates_per_s = len(self._update_ms) / updated.took_s
        self._costs = costs

    @property
    def acquire(self) -> dict[str, float]:
        return spread(self._acquire_ms)

    @property
    def update(self) -> dict[str, float]:
        return spread(self._update_ms)

    def as_json(self) -> dict[str, Any]:
        """For the details of the result. The cost of a job is that of one request here."""
        acquires, updates = self._costs
        return {
            "waiting": self._waiting,
            "acquires": len(self._acquire_ms),
            "acquires_per_s": round(self.acquires_per_s, 1),
            "acquire": {**self.acquire, **acquires.as_json(len(self._acquire_ms))},
            "updates": len(self._update_ms),
            "updates_per_s": round(self.updates_per_s, 1),
            "update": {**self.update, **updates.as_json(len(self._update_ms))},
        }


def plant_template(plant: Plant, pilots: PilotProcess, task_id: int) -> None:
    """Submit one real job and keep its rows as they are once it is activated: all that wait are copies of them."""
    jobs.lay_inputs(plant.lab.queue_storage, [_TEMPLATE])
    pilots.submit(jobs.http_submissions([_TEMPLATE], task_id))
    deadline = time.monotonic() + _PATIENCE_S
    while not plant.value("SELECT count(*) FROM job_waiting WHERE site = %(site)s", site=QUEUE):
        if time.monotonic() > deadline:
            raise BenchError("the job whose copies shall wait was not activated")
        time.sleep(0.05)
    for table in _TABLES:
        keep = statements.SQL(
            "CREATE TEMP TABLE {} AS SELECT t.* FROM {} t JOIN job_waiting w USING (job_id) WHERE w.site = %s"
        )
        names = statements.Identifier(f"{_KEPT}{table}"), statements.Identifier(table)
        plant.database.execute(keep.format(*names), (QUEUE,))


def measure(plant: Plant, pilots: PilotProcess, waiting: int, rounds: int) -> Rates:
    """Acquire in rounds, then report starting, running and running again for the jobs acquired."""
    acquired, acquiring = [], []
    for _ in range(rounds):
        _fill(plant, waiting + ROUND // 2)
        with plant.metered() as costs:
            acquired.append(pilots.acquire(ROUND))
        acquiring += costs
    taken = [job_id for served in acquired for job_id in served.job_ids]
    if len(set(taken)) != len(taken):
        raise BenchError("a job was handed to two pilots")
    with plant.metered() as updating:
        updated = pilots.update([(job_id, state) for state in ("starting", "running", "running") for job_id in taken])
    _await_running(plant, taken)
    return Rates(waiting, acquired, updated, (processes.together(acquiring), updating[0]))


def _fill(plant: Plant, wanted: int) -> None:
    """Let that many jobs wait, by copying the rows of one that did."""
    missing = wanted - plant.value("SELECT count(*) FROM job_waiting WHERE site = %(site)s", site=QUEUE)
    if missing <= 0:
        return
    ids = plant.job_ids(missing)
    for table in _TABLES:
        kept = statements.Identifier(f"{_KEPT}{table}")
        found = plant.database.execute(statements.SQL("SELECT * FROM {}").format(kept))
        columns = [column.name for column in found.description or () if column.name != "job_id"]
        copy = statements.SQL(
            "INSERT INTO {table} (job_id, {columns}) SELECT copy.id, {columns}"
            " FROM {kept} CROSS JOIN unnest(%s::bigint[]) AS copy (id)"
        ).format(
            table=statements.Identifier(table),
            kept=kept,
            columns=statements.SQL(", ").join(map(statements.Identifier, columns)),
        )
        plant.database.execute(copy, (ids,))
    for table in _TABLES:
        # Or autovacuum would do it while we measure.
        plant.database.execute(statements.SQL("VACUUM (ANALYZE) {}").format(statements.Identifier(table)))


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
