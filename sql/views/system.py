"""What the database says of itself, for people: size, connections, tables, partitions."""

from panda_fsm.views.duties import DutiesNow, DutyRow, judged
from panda_fsm.views.system import Connections, Database, Horizon, TableRow
from sql.pool import Pool
from sql.queries import load

_Q = load("views_system")
_DUTIES = load("daemon")["duties"]
_TABLES = 15
"""The largest ones."""


class SystemReads:
    """The catalogue and the statistics. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def database(self) -> Database:
        """All of it, by four statements."""
        version, octets, most, is_read_only, schema = await self._pool.row(_Q["database"])
        connections = tuple(Connections(*row) for row in await self._pool.rows(_Q["connections"]))
        tables = tuple(TableRow(*row) for row in await self._pool.rows(_Q["tables"], limit=_TABLES))
        horizons = tuple(Horizon(*row) for row in await self._pool.rows(_Q["horizons"]))
        return Database(version, octets, most, is_read_only, schema, connections, tables, horizons)

    async def duties(self) -> DutiesNow:
        """What the daemon does, and how that goes."""
        return DutiesNow(tuple(judged(DutyRow(*row)) for row in await self._pool.rows(_DUTIES)))
