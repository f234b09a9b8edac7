"""What has changed since somebody looked: a mark for each topic, all by one statement."""

from collections.abc import Mapping

from sql.pool import Pool
from sql.queries import load

_Q = load("views_marks")


class Marks:
    """The marks of all topics. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def now(self) -> Mapping[str, str]:
        """Topic and mark; what is looked at has changed where the mark is another than before."""
        return dict(await self._pool.rows(_Q["marks"]))
