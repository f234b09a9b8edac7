"""What the gateway needs for operators: what decides of jobs and tasks beside the usual, and operations to begin."""

from collections.abc import Sequence
from dataclasses import asdict

from panda_fsm.descriptions import AuditRow
from panda_fsm.information.models import Override
from panda_fsm.views.operations import Operation
from sql import rows
from sql.audit_rows import WRITE_DOWN, columns
from sql.pool import Pool
from sql.queries import load

_Q = {**load("operators"), **load("operations")}
_SET_STATUS = load("information")["set_status"]
_ASKED = ("operation_id", "actor", "actor_name", "act", "filter", "wishes", "reason", "vos", "total", "is_at_least")


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

    async def begin(self, operation: Operation) -> bool:
        """From now on the daemon works it off; False: it is there already. Who asked is written down with it."""
        row = {name: value for name, value in asdict(operation).items() if name in _ASKED}
        return bool((await self._pool.row(_Q["begin"], row=rows.as_json(row)))[0])

    async def set_status(self, queue: str, override: Override | None, audit: AuditRow) -> bool:
        """What counts above the word of its source, None: nothing any more; False: no source has the queue.

        The audit is written with it, and who follows the information hears of it.
        """
        said = None if override is None else override.model_dump_json()
        who, why = str(audit.detail.get("name") or audit.actor), str(audit.detail.get("reason") or "")
        async with self._pool.connection() as connection, connection.transaction():
            asked = {"name": queue, "override": said, "actor": who, "why": why}
            found = await (await connection.execute(_SET_STATUS, asked)).fetchone()
            if found is not None:
                await connection.execute(WRITE_DOWN, columns(audit))
        return found is not None

    async def cancel(self, operation_id: str, actor: str, name: str, reason: str) -> bool:
        """No more jobs are asked for; False: it is over already."""
        found = await self._pool.row(_Q["cancel"], operation_id=operation_id, actor=actor, name=name, reason=reason)
        return bool(found[0])
