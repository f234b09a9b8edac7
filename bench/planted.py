"""An archive of any size, in minutes: the rows of one job that really ran, copied over months into every table."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
from psycopg import sql as statements

from bench.plant import Plant

MONTHS = 2
"""So far back the oldest of them ended; the newest ended an hour ago."""
FIRST_ID = 1_000_000_000
"""Their PandaIDs begin here, behind those of this run, and new ones come behind them, as it would be."""
OF_A_TASK, USERS = 5000, 300
FIRST_TASK = 1_000_000
_CHUNK = 100_000
_KEPT = "planted_"
_FROM = {
    "job_archive": "job",
    "job_file_archive": "job_file",
    "job_spec_archive": "job_spec",
    "job_history": "job_history",
}
_LANES: tuple[tuple[str, ...], ...] = (
    ("job_history",), ("job_archive", "job_ended", "job_spec_archive", "job_file_archive")
)  # fmt: skip
"""What is filled one after the other; the lanes go side by side."""
_TIMES = ("at", "created_at", "modified_at", "state_changed_at", "deadline_at", "started_at")
_VALUES = {
    "job_id": "g.job_id",
    "ended_at": "g.ended_at",
    "task_id": f"{FIRST_TASK} + g.number / {OF_A_TASK}",
    "user_name": f"'user' || g.number %% {USERS}",
    **{name: f"t.{name} + (g.ended_at - %(ended_at)s::timestamptz)" for name in _TIMES},
}
"""What differs from the job that was copied: its times are as far apart as that job's own."""
_JOBS = """
SELECT n AS number, %(first_id)s::bigint + n AS job_id, %(newest)s::timestamptz
    - (%(jobs)s::bigint - n) * (%(months)s * interval '30 days') / %(jobs)s::bigint AS ended_at
FROM generate_series(%(first)s::bigint, %(last)s::bigint) n
"""


def plant_archive(plant: Plant, like: int, jobs: int) -> None:
    """Let the archive hold so many jobs, each like the finished job `like`, with files, specification and history."""
    for table, source in _FROM.items():
        keep = "CREATE UNLOGGED TABLE {} AS SELECT * FROM {} WHERE job_id = %s"
        names = statements.Identifier(f"{_KEPT}{table}"), statements.Identifier(source)
        plant.database.execute(statements.SQL(keep).format(*names), (like,))
    plant.rows(
        "SELECT ensure_partitions(now() - n * interval '1 month') FROM generate_series(0, %(n)s) n", n=MONTHS + 1
    )
    plant.rows("SELECT setval('job_id_block', %(next)s)", next=FIRST_ID + (jobs // 1000 + 1) * 1000 + 1)
    parameters = {
        "jobs": jobs, "first_id": FIRST_ID, "months": MONTHS,
        "newest": plant.value("SELECT now() - interval '1 hour'"),
        "ended_at": plant.value("SELECT ended_at FROM job WHERE job_id = %(job_id)s", job_id=like),
    }  # fmt: skip
    with ThreadPoolExecutor(len(_LANES)) as pool:
        for _ in pool.map(lambda lane: _fill(plant.database_url, lane, parameters), _LANES):
            pass
    plant.database.execute("CHECKPOINT")


def _fill(database_url: str, tables: Sequence[str], parameters: Mapping[str, Any]) -> None:
    """Fill these tables, one after the other, with chunks of the jobs."""
    jobs = parameters["jobs"]
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("SET synchronous_commit = off")
        connection.execute("SET session_replication_role = replica")  # what is copied was checked when it was written
        for table in tables:
            copy = _copy(connection, table)
            for first in range(0, jobs, _CHUNK):
                chunk = {"first": first, "last": min(first + _CHUNK, jobs) - 1}
                connection.execute(copy, {**parameters, **chunk})
            # Or autovacuum would do it while we measure.
            connection.execute(statements.SQL("VACUUM (ANALYZE) {}").format(statements.Identifier(table)))


def _copy(connection: psycopg.Connection, table: str) -> statements.Composed:
    """The statement that copies the job's rows of one table for a chunk of jobs."""
    found = connection.execute(statements.SQL("SELECT * FROM {} LIMIT 0").format(statements.Identifier(table)))
    columns = [column.name for column in found.description or ()]
    values = [
        statements.SQL(_VALUES[name]) if name in _VALUES else statements.Identifier("t", name) for name in columns
    ]
    template = statements.SQL("{} AS t").format(statements.Identifier(f"{_KEPT}{table}"))
    return statements.SQL("INSERT INTO {table} ({columns}) SELECT {values} FROM ({jobs}) AS g {others}").format(
        table=statements.Identifier(table),
        columns=statements.SQL(", ").join(map(statements.Identifier, columns)),
        values=statements.SQL(", ").join(values),
        jobs=statements.SQL(_JOBS),
        others=statements.SQL("CROSS JOIN {}").format(template) if table in _FROM else statements.SQL(""),
    )
