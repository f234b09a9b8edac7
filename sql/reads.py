"""What people read: jobs with their files, counts, how far a task is. Apart from what pilots wait for."""

from collections.abc import Sequence
from typing import Any

from psycopg.rows import dict_row

from panda_fsm.descriptions import FileRow, Hop, JobDescription, TaskProgress
from sql.pool import Pool
from sql.queries import load

_Q = load("reads")


class ReadStore:
    """The gateway's reads. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def describe(self, job_ids: Sequence[int]) -> dict[int, JobDescription]:
        """Jobs with specification and files, live or archived."""
        found = await self._described("describe", list(job_ids))
        missing = [job_id for job_id in job_ids if job_id not in found]
        if missing:
            found |= await self._described("describe_archived", missing)
        return found

    async def _described(self, query: str, job_ids: list[int]) -> dict[int, JobDescription]:
        async with self._pool.connection() as connection, connection.cursor(row_factory=dict_row) as cursor:
            await cursor.execute(_Q[query], {"job_ids": job_ids})
            return {row["job_id"]: _description(row) for row in await cursor.fetchall()}

    async def job_counts(self) -> list[tuple[str, str, int]]:
        """(state, queue, jobs) from the rollup."""
        return [(row[0], row[1], row[2]) for row in await self._pool.rows(_Q["job_counts"])]

    async def task_progress(self, task_id: int) -> TaskProgress:
        """Jobs of a task per state, and the time of each hop."""
        states = {row[0]: row[1] for row in await self._pool.rows(_Q["task_states"], task_id=task_id)}
        hops = [
            Hop(row[0], row[1], *(round(float(ms), 3) for ms in row[2:]))
            for row in await self._pool.rows(_Q["task_hops"], task_id=task_id)
        ]
        return TaskProgress(states, hops)


def _description(row: dict[str, Any]) -> JobDescription:
    spec, files = row.pop("spec"), row.pop("files")
    return JobDescription(row["job_id"], row, spec or {}, [FileRow(*file) for file in files])
