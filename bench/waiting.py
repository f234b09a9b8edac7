"""Lets any number of jobs wait for pilots, by copying the rows of one that really was submitted and activated."""

from __future__ import annotations

import time

from psycopg import sql as statements

from bench import jobs
from bench.http_lifecycles import FIRST_NUMBER
from bench.pilots import PilotProcess
from bench.plant import BenchError, Plant
from lab.site import QUEUE

_TEMPLATE = FIRST_NUMBER - 1
_TABLES = ("job", "job_spec", "job_file", "job_deadline", "job_waiting")
_KEPT = "template_"
_PATIENCE_S = 60.0


def plant_template(plant: Plant, pilots: PilotProcess, task_id: int) -> None:
    """Submit one real job and keep its rows as they are once it is activated. Done once a run."""
    if plant.value("SELECT to_regclass(%(name)s) IS NOT NULL", name=f"{_KEPT}job"):
        return
    jobs.lay_inputs(plant.lab.queue_storage, [_TEMPLATE])
    pilots.submit(jobs.http_submissions([_TEMPLATE], task_id))
    deadline = time.monotonic() + _PATIENCE_S
    while not count(plant):
        if time.monotonic() > deadline:
            raise BenchError("the job whose copies shall wait was not activated")
        time.sleep(0.05)
    for table in _TABLES:
        keep = statements.SQL(
            "CREATE TEMP TABLE {} AS SELECT t.* FROM {} t JOIN job_waiting w USING (job_id) WHERE w.site = %s"
        )
        names = statements.Identifier(f"{_KEPT}{table}"), statements.Identifier(table)
        plant.database.execute(keep.format(*names), (QUEUE,))
    # They have waited for long: the daemon has looked at them and will come back for their deadline.
    plant.database.execute("UPDATE template_job_deadline d SET deadline_at = j.deadline_at FROM template_job j")


def count(plant: Plant) -> int:
    """How many jobs wait."""
    return int(plant.value("SELECT count(*) FROM job_waiting WHERE site = %(site)s", site=QUEUE))


def fill(plant: Plant, wanted: int) -> None:
    """Let at least that many jobs wait."""
    missing = wanted - count(plant)
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
    _settle(plant, _TABLES)


def leave(plant: Plant, wanted: int) -> None:
    """Let no more than that many jobs wait."""
    plant.database.execute(
        "DELETE FROM job_waiting WHERE job_id IN"
        " (SELECT job_id FROM job_waiting WHERE site = %s ORDER BY job_id OFFSET %s)",
        (QUEUE, wanted),
    )
    _settle(plant, ("job_waiting",))


def vary(plant: Plant) -> None:
    """Let what waits need this and that, as jobs of many tasks do: 600 classes, a hundred priorities."""
    plant.database.execute(
        "UPDATE job_waiting SET priority = 900 + job_id %% 101, min_ram = 2000 + 250 * (job_id %% 20),"
        " max_walltime = 3600 * (1 + job_id / 20 %% 6), max_disk = 1000 * (1 + job_id / 120 %% 5) WHERE site = %s",
        (QUEUE,),
    )
    _settle(plant, ("job_waiting",))


def _settle(plant: Plant, tables: tuple[str, ...]) -> None:
    """Or autovacuum would do it while we measure."""
    for table in tables:
        plant.database.execute(statements.SQL("VACUUM (ANALYZE) {}").format(statements.Identifier(table)))
