"""What a consumer holds: which deliveries come next, and which must be handled alone because they may kill us."""

import random
from collections import deque
from dataclasses import dataclass

from panda_fsm.handler import Delivery
from panda_fsm.trouble import ALONE_AFTER

BATCH_BYTES = 1_000_000
_QUIET_S = 1.0
"""A suspect waits until nothing has come for so long: those behind it in the queue are handled first."""
_PATIENCE_S = 10.0
"""Where there is no end of others, a suspect has its turn after so long."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Deliveries to handle together, oldest first."""

    deliveries: list[Delivery]
    is_oldest: bool
    """Nothing older is held, so that one acknowledgement settles all."""

    @property
    def is_suspect(self) -> bool:
        """One that may kill the process."""
        return bool(self.deliveries) and self.deliveries[0].deliveries >= ALONE_AFTER


class Buffer:
    """Deliveries that wait for the worker. Guarded by whoever owns it."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._fresh: deque[Delivery] = deque()
        self._suspects: list[tuple[float, Delivery]] = []
        self._came_at = 0.0

    def __len__(self) -> int:
        return len(self._fresh) + len(self._suspects)

    @property
    def is_full(self) -> bool:
        """Enough for a whole batch."""
        return len(self._fresh) >= self._size

    def add(self, delivery: Delivery, now: float) -> bool:
        """Take one in; True when the worker may be waiting for it."""
        self._came_at = now
        if delivery.deliveries >= ALONE_AFTER:
            self._suspects.append((now, delivery))
            return len(self) == 1
        self._fresh.append(delivery)
        return len(self._fresh) in (1, self._size)

    def clear(self) -> None:
        """The channel is gone, and with it the right to acknowledge."""
        self._fresh.clear()
        self._suspects.clear()

    def wait_s(self, now: float) -> float | None:
        """Seconds until something may be taken; None when nothing is held."""
        if self._fresh:
            return 0.0
        if not self._suspects:
            return None
        return max(0.0, min(self._came_at + _QUIET_S, self._suspects[0][0] + _PATIENCE_S) - now)

    def take(self, now: float) -> Batch:
        """The next batch: up to `size` deliveries and `BATCH_BYTES`, or one suspect alone; empty when it is too early.

        A suspect was handed out several times without an answer: it, or one beside it, may have killed the process.
        Each is taken alone, in no order, so that those behind the killer have their turn in one of our next lives.
        """
        if self._suspects and (self._suspects[0][0] + _PATIENCE_S <= now or not self._fresh):
            return self._batch([self._suspect()] if self.wait_s(now) == 0 else [])
        batch: list[Delivery] = []
        held = 0
        while self._fresh and len(batch) < self._size and (not batch or held + len(self._fresh[0].body) < BATCH_BYTES):
            batch.append(self._fresh.popleft())
            held += len(batch[-1].body)
        return self._batch(batch)

    def _suspect(self) -> Delivery:
        """The one that was handed out least often, by lot."""
        chosen = min(self._suspects, key=lambda one: (one[1].deliveries, random.random()))  # noqa: S311
        self._suspects.remove(chosen)
        return chosen[1]

    def _batch(self, deliveries: list[Delivery]) -> Batch:
        older = [one.tag for _, one in self._suspects] + [one.tag for one in list(self._fresh)[:1]]
        return Batch(deliveries, not deliveries or min(older, default=deliveries[-1].tag + 1) > deliveries[-1].tag)
