"""The processes, as they showed themselves last."""

from dataclasses import replace

from panda_fsm.views.redaction import shown
from panda_fsm.views.workers import WorkerNow, standing_of
from sql.pool import Pool
from sql.queries import load

_Q = load("views_queues")


class WorkerReads:
    """The table of processes. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> list[WorkerNow]:
        """Every process that gave a sign within the last hour."""
        found = [WorkerNow(*row) for row in await self._pool.rows(_Q["processes"])]
        return [replace(one, standing=standing_of(one), trouble=shown(one.trouble)) for one in found]
