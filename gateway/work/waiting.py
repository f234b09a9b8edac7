"""Requests that wait for their answer: bounded in number and in age, and none for a client that has gone."""

import asyncio
from contextvars import ContextVar

from panda_fsm.errors import TransientError

_LOOK_S = 0.5


class BusyError(TransientError):
    """Too many requests wait already: this one was not begun."""


class Waiting:
    """One request. Whoever works for it may ask whether anybody still waits."""

    __slots__ = ("has_gone", "has_hung_up", "is_decided", "is_done", "is_due", "is_late", "since", "task", "weight")

    def __init__(self, task: "asyncio.Task[object] | None") -> None:
        self.task = task
        self.since = 0.0
        """When it began to wait: its body was there."""
        self.weight = 0
        """Bytes that are held for it."""
        self.is_decided = False
        """What it asks for is being decided: the outcome is told, however long it takes."""
        self.is_due = False
        """A result has just been given to it."""
        self.is_done = self.is_late = self.has_gone = False
        self.has_hung_up = False
        """Its client will read no answer, whatever has been decided."""

    @property
    def is_over(self) -> bool:
        """Nobody waits any more."""
        return self.is_late or self.has_gone

    def leave(self) -> None:
        """Its client hung up. What is not being decided yet is not begun, or given up."""
        self.has_hung_up = True
        if not (self.is_done or self.is_over or self.is_decided or self.is_due):
            self.has_gone = True
            self._cancel()

    def give_up(self) -> bool:
        """It has waited too long; False: its answer is on the way."""
        if self.is_done or self.is_over or self.is_decided or self.is_due:
            return False
        self.is_late = True
        self._cancel()
        return True

    async def tell(self) -> None:
        """Answer it: it waited too long, and whoever works for it may not hear of that at once."""

    def _cancel(self) -> None:
        if self.task is not None:
            self.task.cancel()


CURRENT: ContextVar[Waiting | None] = ContextVar("waiting", default=None)
"""The request for which this task works."""


class Crowd:
    """All requests in work."""

    def __init__(self, most: int, age_s: float) -> None:
        self._most = most
        self._age_s = age_s
        self._waiting: dict[Waiting, asyncio.Task[None] | None] = {}
        self._watching: asyncio.Task[None] | None = None

    def __len__(self) -> int:
        return len(self._waiting)

    @property
    def is_full(self) -> bool:
        return len(self._waiting) >= self._most

    def enter(self, waiting: Waiting, is_exempt: bool = False) -> None:
        """From now on it waits. Raises BusyError."""
        if len(self._waiting) >= self._most and not is_exempt:
            raise BusyError(f"{self._most} requests wait already")
        waiting.since = asyncio.get_running_loop().time()
        self._waiting[waiting] = None

    def leave(self, waiting: Waiting) -> None:
        """It is answered, or over."""
        waiting.is_done = True
        self._waiting.pop(waiting, None)

    async def told(self, waiting: Waiting) -> None:
        """Returns when a request that is late has its answer."""
        telling = self._waiting.get(waiting)
        if telling is not None:
            await asyncio.shield(telling)

    def look(self) -> None:
        """Answer those that have waited too long; they stand in the order in which they came."""
        oldest = asyncio.get_running_loop().time() - self._age_s
        for waiting in list(self._waiting):
            if waiting.since > oldest:
                break
            if waiting.give_up():
                self._waiting[waiting] = asyncio.create_task(waiting.tell())

    def watch(self) -> None:
        """Look again and again."""
        self._watching = asyncio.create_task(self._watch())

    async def stop(self) -> None:
        """Look no more."""
        if self._watching is not None:
            self._watching.cancel()
            await asyncio.gather(self._watching, return_exceptions=True)

    async def _watch(self) -> None:
        while True:
            await asyncio.sleep(_LOOK_S)
            self.look()
