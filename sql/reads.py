"""What people read: jobs with their files, counts, how far a task is. Apart from what pilots wait for."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from panda_fsm.descriptions import FileRow, Hop, JobDescription, TaskProgress
from panda_fsm.errors import TooMuchError
from sql.pool import Pool
from sql.queries import load

_Q = load("reads")
_AT_A_TIME = 50
_MOST_BYTES = 64 * 1024 * 1024
"""Of parameters and metadata in one answer."""
_HOPS_OF = 2000
"""Live jobs and archived ones, of which hops are taken: enough for percentiles, whatever the size of the task."""


class ReadStore:
    """The gateway's reads. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def describe(self, job_ids: Sequence[int]) -> dict[int, JobDescription]:
        """Jobs with specification and files, live or archived. Raises TooMuchError when they are too large together.

        A few at a time, so that others who read have their turn.
        """
        found: dict[int, JobDescription] = {}
        left = _MOST_BYTES
        for start in range(0, len(job_ids), _AT_A_TIME):
            missing = list(job_ids[start : start + _AT_A_TIME])
            for query in ("describe", "describe_archived"):
                for row in await self._described(query, missing) if missing else ():
                    left -= row.pop("weight")
                    found[row["job_id"]] = _description(row)
                if left < 0:
                    raise TooMuchError(f"these jobs have more than {_MOST_BYTES >> 20} MB: ask for fewer at once")
                missing = [job_id for job_id in missing if job_id not in found]
        return found

    async def _described(self, query: str, job_ids: list[int]) -> list[dict[str, Any]]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_Q[query], {"job_ids": job_ids})
            return await cursor.fetchall()

    async def job_counts(self) -> list[tuple[str, str, int]]:
        """(state, queue, jobs) from the rollup."""
        return [(row[0], row[1], row[2]) for row in await self._pool.rows(_Q["job_counts"])]

    async def task_progress(self, task_id: int) -> TaskProgress:
        """Jobs of a task per state, and the time of each hop of its newest jobs."""
        states = {row[0]: row[1] for row in await self._pool.rows(_Q["task_states"], task_id=task_id)}
        hops = [
            Hop(row[0], row[1], *(round(float(ms), 3) for ms in row[2:]))
            for row in await self._pool.rows(_Q["task_hops"], task_id=task_id, jobs=_HOPS_OF)
        ]
        return TaskProgress(states, hops)


def _description(row: dict[str, Any]) -> JobDescription:
    spec, files = row.pop("spec"), row.pop("files")
    return JobDescription(row["job_id"], row, spec or {}, [FileRow(*file) for file in files])
