"""What pilots and users make known beside jobs: workers, machines, sandboxes."""

from dataclasses import asdict
from typing import Any

from panda_fsm.descriptions import CacheFile, Worker
from sql import rows
from sql.pool import Pool
from sql.queries import load

_Q = load("registers")


class RegisterStore:
    """The gateway's registers. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def record_worker(self, worker: Worker) -> None:
        """Insert or renew what a worker said of itself."""
        await self._pool.execute(_Q["record_worker"], **asdict(worker))

    async def record_worker_node(self, queue: str, host_name: str, description: dict[str, Any]) -> None:
        """Insert or complete the description of a machine."""
        text = rows.as_json(description)
        await self._pool.execute(_Q["record_worker_node"], site=queue, host_name=host_name, description=text)

    async def add_cache_file(self, file: CacheFile) -> CacheFile:
        """Record a file and return what the name now belongs to: the new file, or the one that was first."""
        return CacheFile(*(await self._pool.row(_Q["add_cache_file"], **asdict(file))))

    async def cache_file_with(self, size: int, checksum: int) -> CacheFile | None:
        """The newest file with this content."""
        found = await self._pool.rows(_Q["cache_file_with"], size=size, checksum=checksum)
        return CacheFile(*found[0]) if found else None
