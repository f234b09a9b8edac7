"""Lets concurrent requests share one statement: while one batch is under way, the next requests gather."""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Hashable, Iterable, Sequence
from contextvars import Context
from dataclasses import dataclass
from functools import partial
from typing import Any, Generic, TypeVar

from gateway.work.waiting import CURRENT, Waiting
from panda_fsm.errors import TransientError

Key = TypeVar("Key", bound=Hashable)
Item = TypeVar("Item")
Result = TypeVar("Result")


@dataclass(slots=True, eq=False)
class _Asked(Generic[Item, Result]):
    """An item, who gets its result, and for whom all this is."""

    item: Item
    future: asyncio.Future[Result]
    waiting: Waiting | None

    def fail(self, error: Exception) -> None:
        if not self.future.done():
            self.future.set_exception(error)

    def succeed(self, result: Result) -> None:
        if not self.future.done():  # else whoever asked has gone
            if self.waiting is not None:
                self.waiting.is_due = True
            self.future.set_result(result)


class Coalescer(Generic[Item, Result]):
    """Batches by themselves: a lone request goes at once, a crowd goes together. No timer, no waiting for more.

    Nobody works for those who have gone: what they asked is left out, and a batch that is theirs alone is given up.
    """

    def __init__(
        self,
        handle: Callable[[Sequence[Item]], Awaitable[Sequence[Result | Exception]]],
        max_batch: int = 100,
        weigh: Callable[[Item], int] = lambda _item: 0,
        max_weight: int = 0,
        is_promise: bool = False,
        gather_s: float = 0,
    ) -> None:
        """`handle` answers one result an item, in order; an exception among them is that item's alone.

        A batch weighs at most `max_weight`, or is a single item. `is_promise`: once an item's batch is under way
        its outcome is told, for it may be done whether anybody still waits or not. `gather_s`: nobody waits, so it
        waits that long for more.
        """
        self._handle = handle
        self._max_batch = max_batch
        self._weigh = weigh
        self._max_weight = max_weight
        self._is_promise = is_promise
        self._gather_s = gather_s
        self._gathered: deque[_Asked[Item, Result]] = deque()
        self._batch: list[_Asked[Item, Result]] = []
        self._worker: asyncio.Task[None] | None = None
        self._gives_up = False

    @property
    def is_idle(self) -> bool:
        return self._worker is None or self._worker.done()

    @property
    def is_alone(self) -> bool:
        """A single item is under way, and nobody waits behind it."""
        return len(self._batch) == 1 and not self._gathered

    async def ask(self, item: Item) -> Result:
        """The result for `item`. Raises what its batch raised, or the item's own exception."""
        waiting = CURRENT.get()
        future: asyncio.Future[Result] = asyncio.get_running_loop().create_future()
        self._gathered.append(_Asked(item, future, waiting))
        if self.is_idle:
            self._worker = asyncio.create_task(self._work(), context=Context())  # it works for all
            self._worker.add_done_callback(self._ended)
        try:
            result = await future
        except asyncio.CancelledError:
            self._one_has_gone()
            raise
        if waiting is not None:
            waiting.is_due = False
        return result

    async def _work(self) -> None:
        while self._gathered:
            if self._gather_s:
                await asyncio.sleep(self._gather_s)
            self._batch, self._gives_up = self._next_batch(), False
            if self._batch:
                await self._answer(self._batch)
            self._batch = []

    def _ended(self, worker: asyncio.Task[None]) -> None:
        """Only a worker that was cancelled leaves anybody behind; the next who asks starts another one."""
        if self._worker is worker and self._gathered:
            left, self._gathered = self._gathered, deque()
            _interrupt(left)

    def _one_has_gone(self) -> None:
        """The batch under way is given up when it is for nobody any more; once, for it may have to clean up."""
        if self._gives_up or self._worker is None:
            return
        if self._batch and all(asked.future.done() for asked in self._batch):
            self._gives_up = self._worker.cancel()

    def _next_batch(self) -> list[_Asked[Item, Result]]:
        """Of those for whom somebody still waits."""
        batch: list[_Asked[Item, Result]] = []
        weight = 0
        while self._gathered and len(batch) < self._max_batch:
            asked = self._gathered[0]
            if asked.future.done() or (asked.waiting is not None and asked.waiting.is_over):
                self._gathered.popleft()
                asked.fail(TransientError("nobody waits for it any more"))
                continue
            weight += self._weigh(asked.item)
            if batch and weight > self._max_weight:
                break
            batch.append(self._gathered.popleft())
            if self._is_promise and asked.waiting is not None:
                asked.waiting.is_decided = True
        return batch

    async def _answer(self, batch: list[_Asked[Item, Result]]) -> None:
        try:
            results = await self._handle([asked.item for asked in batch])
            if len(results) != len(batch):
                raise RuntimeError(f"{len(results)} results for {len(batch)} items")
        except Exception as error:
            results = [error] * len(batch)
        except asyncio.CancelledError:
            _interrupt(batch)
            if not self._gives_up:
                raise
            if self._worker is not None:
                self._worker.uncancel()
            return
        for asked, result in zip(batch, results, strict=True):
            if isinstance(result, Exception):
                asked.fail(result)
            else:
                asked.succeed(result)


def _interrupt(asked: Iterable[_Asked[Any, Any]]) -> None:
    """Nobody waits for ever for an answer that will not come."""
    for one in asked:
        one.fail(TransientError("interrupted"))


class Pair(Generic[Item, Result]):
    """Two coalescers of one kind: who asks while a single item is under way goes beside it.

    That one mostly waits for the disk. Where many ask, batches are of many and go one at a time: two halves would cost
    more (ADR 0042).
    """

    def __init__(self, make: Callable[[], Coalescer[Item, Result]]) -> None:
        self._first, self._second = make(), make()

    async def ask(self, item: Item) -> Result:
        """The result for `item`."""
        beside = self._first.is_alone and self._second.is_idle
        return await (self._second if beside else self._first).ask(item)


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
