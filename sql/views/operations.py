"""Operations, read for people: how far each is, and what one would come to before it is asked for."""

from dataclasses import asdict

from panda_fsm.jobs.acts import Order
from panda_fsm.views.cursors import Part
from panda_fsm.views.job_list import JobsWanted
from panda_fsm.views.operations import CURSORS, BulkRun, Group, Operation, OperationsWanted, dry_run
from sql.job_conditions import conditioned, parameters
from sql.pool import Pool
from sql.queries import load

_Q = load("operations")
_LOOKED = 50_000
"""Jobs of one dry run: as many as are read while somebody waits."""


class OperationReads:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, wanted: OperationsWanted) -> Part[Operation]:
        """The newest first."""
        at, operation_id = wanted.after or (None, None)
        asked = asdict(wanted) | {"at": at, "id": operation_id}
        found = [Operation(*row) for row in await self._pool.rows(_Q["newest"], **asked)]
        return CURSORS.part(found, wanted.limit, lambda one: (one.created_at, one.operation_id))

    async def one(self, operation_id: str) -> Operation | None:
        """The one of that id."""
        found = await self._pool.rows(_Q["one"], operation_id=operation_id)
        return Operation(*found[0]) if found else None

    async def dry_run(self, wanted: JobsWanted, order: Order, vos: frozenset[str]) -> BulkRun:
        """With how many of these jobs the order would be done now, for somebody who operates in these VOs."""
        asked = parameters(wanted) | {"looked": _LOOKED}
        found = await self._pool.rows(conditioned(_Q["groups"], asked), **asked)
        is_cut = (await self._pool.row(conditioned(_Q["is_cut"], asked), **asked))[0]
        return dry_run((Group(*row) for row in found), order, vos, is_cut)
