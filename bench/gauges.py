"""Looks once a second, while a load runs, how old what waits in the database is; and what tables weigh afterwards."""

from __future__ import annotations

import threading
from collections import defaultdict
from types import TracebackType

import psycopg
from psycopg.rows import dict_row

from bench.plant import BenchError, Plant

_EVERY_S = 1.0
_AGES = """
SELECT (SELECT coalesce(extract(epoch FROM now() - min(created_at)), 0)::float8 FROM outbox) AS outbox_row_s,
    (SELECT coalesce(extract(epoch FROM now() - min(deadline_at)), 0)::float8 FROM job_deadline
     WHERE NOT ended AND deadline_at < now()) AS appointment_late_s,
    (SELECT coalesce(extract(epoch FROM now() - min(deadline_at)), 0)::float8 FROM job_deadline
     WHERE ended AND deadline_at < now()) AS archive_late_s
"""
_SIZES = """
SELECT relname, n_live_tup, n_dead_tup, pg_total_relation_size(relid) / 1048576.0 FROM pg_stat_user_tables
WHERE n_live_tup + n_dead_tup > 0 ORDER BY pg_total_relation_size(relid) DESC
"""


class Gauges:
    """The series of each age in seconds, from entering to leaving."""

    def __init__(self, database_url: str) -> None:
        self._database_url = database_url
        self._series: dict[str, list[float]] = defaultdict(list)
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._watch, name="gauges", daemon=True)

    def __enter__(self) -> Gauges:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._over.set()
        self._thread.join()

    def greatest(self) -> dict[str, float]:
        """The greatest of each age. Raises BenchError when nothing was seen: zeros would look like a good result."""
        if not self._series:
            raise BenchError("the ages in the database could not be read")
        return {name: round(max(ages), 2) for name, ages in self._series.items()}

    def _watch(self) -> None:
        with psycopg.connect(
            self._database_url, autocommit=True, application_name="bench", row_factory=dict_row
        ) as connection:
            while not self._over.wait(_EVERY_S):
                for name, age in (connection.execute(_AGES).fetchone() or {}).items():
                    self._series[name].append(age)


def sizes(plant: Plant) -> dict[str, dict[str, float]]:
    """Rows, dead rows and megabytes (indexes and all) by table, the largest first."""
    return {
        name: {"rows": rows, "dead": dead, "mb": round(float(mb), 1)} for name, rows, dead, mb in plant.rows(_SIZES)
    }
