"""Looks for whatever an operator has of a thing."""

from panda_fsm.views.finding import Asked, Finding, Hit, finding
from sql.pool import Pool
from sql.queries import load

_Q = load("views_finding")
_SOME = 10
"""Of jobs that have something in common."""


class FindingReads:
    """By one or two statements. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def found(self, asked: Asked) -> Finding:
        """All that is called so."""
        if asked.number is not None:
            rows = await self._pool.rows(_Q["number"], number=asked.number, some=_SOME)
        elif asked.message_id is not None:
            rows = await self._pool.rows(_Q["message"], message_id=asked.message_id, sent_at=asked.sent_at)
        else:
            rows = []
        if asked.number is None:  # names of jobs may look like ids of messages
            rows += await self._pool.rows(_Q["name"], text=asked.text, some=_SOME)
        return finding(asked, [Hit(*row) for row in rows])
