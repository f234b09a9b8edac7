"""Jobs as the gateway decides on access to them; whoever asks, by the connections that are for that."""

from collections.abc import Sequence
from typing import Any

from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.states import State
from sql.pool import Pool
from sql.queries import load

_Q = load("job_rows")


class JobRows:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        """Jobs by id, live or archived."""
        found = {row[0]: _job_row(row) for row in await self._pool.rows(_Q["jobs"], job_ids=list(job_ids))}
        missing = [job_id for job_id in job_ids if job_id not in found]
        if missing:
            for row in await self._pool.rows(_Q["archived_jobs"], job_ids=missing):
                found[row[0]] = _job_row(row)
        return found

    async def working_groups(self, job_ids: Sequence[int]) -> dict[int, str]:
        """The working groups of those jobs that name one, live or archived."""
        return dict(await self._pool.rows(_Q["working_groups"], job_ids=list(job_ids)))


def _job_row(row: Sequence[Any]) -> JobRow:
    return JobRow(row[0], State(row[1]), *row[2:])
