"""Lets concurrent requests share one statement: while one batch is under way, the next requests gather."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Sequence
from functools import partial
from typing import Generic, TypeVar

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


class Coalescer(Generic[Item, Result]):
    """Batches by themselves: a lone request goes at once, a crowd goes together. No timer, no waiting for more."""

    def __init__(
        self,
        handle: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        max_batch: int = 100,
    ) -> None:
        """`handle` answers one result an item, in order; an exception among them is that item's alone."""
        self._handle = handle
        self._max_batch = max_batch
        self._gathered: deque[tuple[Item, asyncio.Future[Result]]] = deque()
        self._worker: asyncio.Task[None] | None = None

    @property
    def is_idle(self) -> bool:
        return self._worker is None

    async def ask(self, item: Item) -> Result:
        """The result for `item`. Raises what its batch raised, or the item's own exception."""
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._gathered.append((item, future))
        if self._worker is None:
            self._worker = asyncio.create_task(self._work())
        return await future

    async def _work(self) -> None:
        while self._gathered:
            size = min(len(self._gathered), self._max_batch)
            await self._answer([self._gathered.popleft() for _ in range(size)])
        self._worker = None

    async def _answer(self, batch: list[tuple[Item, asyncio.Future[Result]]]) -> None:
        try:
            results = await self._handle([item for item, _ in batch])
        except Exception as error:
            results = [error] * len(batch)
        for (_, future), result in zip(batch, results, strict=True):
            if future.done():
                continue  # whoever asked has gone
            if isinstance(result, Exception):
                future.set_exception(result)
            else:
                future.set_result(result)


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
