"""Keys that all gateways share: who asks first makes it."""

from sql.pool import Pool
from sql.queries import load

_Q = load("shared_keys")


class SharedKeys:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def shared_key(self, name: str, proposed: bytes) -> bytes:
        """The key called `name`: the proposed one, if there was none."""
        found = await self._pool.rows(_Q["shared_key"], name=name)
        if not found:
            await self._pool.execute(_Q["propose_key"], name=name, key=proposed)
            found = await self._pool.rows(_Q["shared_key"], name=name)
        return bytes(found[0][0])
