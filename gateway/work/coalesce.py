"""Lets concurrent requests share one statement: while one batch is under way, the next requests gather."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from functools import partial
from typing import Any, Generic, TypeVar

from panda_fsm.errors import TransientError

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """Batches by themselves: a lone request goes at once, a crowd goes together. No timer, no waiting for more."""

    def __init__(
        self,
        handle: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        max_batch: int = 100,
        weigh: Callable[[Item], int] = lambda _item: 0,
        max_weight: int = 0,
    ) -> None:
        """`handle` answers one result an item, in order; an exception among them is that item's alone.

        A batch weighs at most `max_weight`, or is a single item.
        """
        self._handle = handle
        self._max_batch = max_batch
        self._weigh = weigh
        self._max_weight = max_weight
        self._gathered: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        return self._worker is None or self._worker.done()

    async def ask(self, item: Item) -> Result:
        """The result for `item`. Raises what its batch raised, or the item's own exception."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._gathered.append((item, future))
        if self.is_idle:
            self._worker = asyncio.create_task(self._work())
            self._worker.add_done_callback(self._ended)
        return await future

    async def _work(self) -> None:
        while self._gathered:
            await self._answer(self._next_batch())

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """Only a worker that was cancelled leaves anybody behind; the next who asks starts another one."""
        if self._worker is worker and self._gathered:
            left, self._gathered = self._gathered, deque()
            _interrupt(left)

    def _next_batch(self) -> list[tuple[Item, asyncio.Future[Result]]]:
        batch = [self._gathered.popleft()]
        weight = self._weigh(batch[0][0])
        while self._gathered and len(batch) < self._max_batch:
            weight += self._weigh(self._gathered[0][0])
            if weight > self._max_weight:
                break
            batch.append(self._gathered.popleft())
        return batch

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._handle([item for item, _ in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:
            results = [error] * len(batch)
        except BaseException:
            _interrupt(batch)
            raise
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # whoever asked has gone
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


def _interrupt(asked: Iterable[tuple[Any, asyncio.Future[Any]]]) -> None:
    """Nobody waits for ever for an answer that will not come."""
    for _, future in asked:
        if not future.done():
            future.set_exception(TransientError("interrupted"))


class Lanes(Generic[Key, Item, Result]):
    """One coalescer per key. Lanes run side by side, and vanish when nobody waits in them."""

    def __init__(
        self,
        handle: Callable[[Key, Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        max_batch: int = 100,
    ) -> None:
        self._handle = handle
        self._max_batch = max_batch
        self._lanes: dict[Key, Coalescer[Item, Result]] = {}

    async def ask(self, key: Key, item: Item) -> Result:
        """The result for `item` among those with the same key."""
        lane = self._lanes.get(key)
        if lane is None:
            lane = self._lanes[key] = Coalescer(partial(self._handle, key), self._max_batch)
        try:
            return await lane.ask(item)
        finally:
            if lane.is_idle and self._lanes.get(key) is lane:
                del self._lanes[key]
