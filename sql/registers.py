"""What pilots and users make known beside jobs: workers, machines, sandboxes."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import asdict
from typing import Any

from psycopg import AsyncConnection

from panda_fsm.descriptions import AuditRow, CacheFile, Worker
from sql import rows
from sql.audit_rows import WRITE_DOWN, columns
from sql.pool import Pool
from sql.queries import load

_Q = load("registers")
_USED_AGAIN_DAYS = 3
"""A sandbox is offered instead of another upload for so long after its own, as PanDA does it."""


class CacheName:
    """A name of the sandbox cache, locked in the transaction of `connection`."""

    def __init__(self, connection: AsyncConnection[Any], name: str, known: CacheFile | None, used: int) -> None:
        self.known = known
        self.used = used
        self._connection = connection
        self._name = name

    async def record(self, file: CacheFile, audit: AuditRow | None = None) -> None:
        """The name is this file's from now on."""
        await self._connection.execute(_Q["add_cache_file"], asdict(file))
        if audit is not None:
            await self._connection.execute(WRITE_DOWN, columns(audit))

    async def renew(self) -> None:
        """What has the name is wanted again."""
        await self._connection.execute(_Q["renew_cache_file"], {"name": self._name})


class RegisterStore:
    """The gateway's registers. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool, for_people: Pool) -> None:
        self._pool = pool
        self._for_people = for_people

    async def record_worker(self, worker: Worker) -> None:
        """Insert or renew what a worker said of itself."""
        await self._pool.execute(_Q["record_worker"], **asdict(worker))

    async def record_worker_node(self, queue: str, host_name: str, description: dict[str, Any]) -> None:
        """Insert or complete the description of a machine."""
        text = rows.as_json(description)
        await self._pool.execute(_Q["record_worker_node"], site=queue, host_name=host_name, description=text)

    @asynccontextmanager
    async def cache_name(self, name: str, owner: str) -> AsyncIterator[CacheName]:
        """The name alone for the caller, and the owner's uploads one after another, until the context ends."""
        place = {"name": name, "owner": owner}
        async with self._for_people.connection() as connection, connection.transaction():
            await connection.execute(_Q["hold_cache_name"], place)
            await connection.execute(_Q["hold_cache_owner"], place)
            found = await (await connection.execute(_Q["cache_file_named"], place)).fetchone()
            used = await (await connection.execute(_Q["cache_bytes"], place)).fetchone()
            yield CacheName(connection, name, CacheFile(*found) if found else None, used[0] if used else 0)

    async def cache_file_with(self, owner: str, size: int, checksum: int) -> CacheFile | None:
        """The owner's newest file with this content that is young enough to be used again."""
        wanted = {"owner": owner, "size": size, "checksum": checksum, "days": _USED_AGAIN_DAYS}
        found = await self._for_people.rows(_Q["cache_file_with"], **wanted)
        return CacheFile(*found[0]) if found else None
