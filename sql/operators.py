"""What the gateway needs for operators: what a job or a task is beside what any request needs to know."""

from collections.abc import Sequence

from sql.pool import Pool
from sql.queries import load

_Q = load("operators")


class OperatorStore:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def held_back(self, job_ids: Sequence[int]) -> set[int]:
        """Those of these jobs whose task is held."""
        return {job_id for (job_id,) in await self._pool.rows(_Q["held_back"], job_ids=list(job_ids))}

    async def vos_of_task(self, task_id: int) -> list[str]:
        """The VOs of its live jobs; of very many, of some."""
        return [vo for (vo,) in await self._pool.rows(_Q["vos_of_task"], task_id=task_id)]
