"""What a duty is: one thing that is done by time, a bounded slice at a time."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import KW_ONLY, dataclass
from typing import Any, Generic, TypeVar

from panda_fsm.errors import TooSlowError
from panda_fsm.periods import Every

Known = TypeVar("Known")


def _nothing() -> None:
    """What a duty does that holds nothing between its slices."""


@dataclass(slots=True)
class Memory(Generic[Known]):
    """What a duty must know of its last slice, wherever that was: it goes with the duty from worker to worker.

    Small, and it can be pickled. What only saves work (a cache) may be kept in the duty: the worker that did it last is
    preferred.
    """

    now: Known


@dataclass(frozen=True, slots=True)
class Duty:
    """One thing that is done by time: `every` so many seconds, or by a cron expression (UTC).

    `run` does one bounded slice and says whether more is due now: then its turn comes again behind the others that are
    due. `alone`: by one daemon at a time, wherever it runs; else by each machine for itself, and never twice on one. A
    slice that takes longer than `limit_s` is ended with its process. `rest` gives back what it holds, at the end.
    """

    name: str
    every: Every
    what: str
    """One sentence for operators."""
    run: Callable[[], bool]
    _: KW_ONLY
    alone: bool
    limit_s: float = 300.0
    rest: Callable[[], None] = _nothing
    memory: Memory[Any] | None = None
    is_vital: bool = False
    """The daemon cannot do without it: it cannot be paused."""


class Portion:
    """How much of its work a duty takes at once: half after that was too much, and more again while it is not."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._size = most

    @contextmanager
    def taken(self) -> Iterator[int]:
        """The size of the next slice."""
        try:
            yield self._size
        except TooSlowError:
            self._size = max(1, self._size // 2)
            raise
        self._size = min(self._most, self._size * 2)
