"""PandaIDs from a block of the sequence that this process owns, so that a submission waits for no consumer."""

from collections import deque
from collections.abc import Sequence

from gateway.ports import RequestStore
from gateway.work.coalesce import Coalescer

BLOCK = 1000
"""The increment of the sequence job_id_block."""
_REMEMBERED_BLOCKS = 50


class JobIds:
    """Hands out PandaIDs, and knows whether an id is so young that its job may not be stored yet."""

    def __init__(self, store: RequestStore) -> None:
        self._store = store
        self._next = 0
        self._end = 0
        self._blocks: deque[range] = deque(maxlen=_REMEMBERED_BLOCKS)
        # One caller fetches blocks for all who wait, and its trouble is told to all of them at once.
        self._takers: Coalescer[int, list[int]] = Coalescer(self._take)

    async def take(self, count: int) -> list[int]:
        """That many new ids, growing, with gaps only where another process has its block. Raises TransientError."""
        return await self._takers.ask(count)

    def give_back(self, job_ids: Sequence[int]) -> None:
        """Ids that nobody was told: they are handed out again, unless others were meanwhile."""
        if job_ids and job_ids[-1] + 1 == self._next:
            self._next -= sum(job_id in self._blocks[-1] for job_id in job_ids)

    async def _take(self, counts: Sequence[int]) -> list[list[int]]:
        return [await self._ids(count) for count in counts]

    async def _ids(self, count: int) -> list[int]:
        taken: list[int] = []
        while len(taken) < count:
            if self._next == self._end:
                await self._take_block()
            end = min(self._end, self._next + count - len(taken))
            taken.extend(range(self._next, end))
            self._next = end
        return taken

    async def _take_block(self) -> None:
        first = await self._store.job_id_block()
        self._next, self._end = first, first + BLOCK
        self._blocks.append(range(first, first + BLOCK))

    async def may_still_come(self, job_ids: list[int]) -> list[int]:
        """Those of the ids whose job may be on its way: handed out here, or in a recent block of another process."""
        if not job_ids:
            return []
        last = await self._store.last_job_id_block()
        recent = range(max(1, last - _REMEMBERED_BLOCKS * BLOCK), last + BLOCK)
        return [job_id for job_id in job_ids if job_id in recent and self._was_handed_out(job_id)]

    def _was_handed_out(self, job_id: int) -> bool:
        if any(job_id in block for block in self._blocks):
            return job_id < self._next or not self._next <= job_id < self._end
        return True  # a block of another process: it knows
