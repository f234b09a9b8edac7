"""Status queues in trouble: each is left alone for a while, then tried with one message, and stops no other."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field

from panda_fsm.status_queues import queue_of_task
from panda_fsm.statuses import Untold
from panda_fsm.trouble import Backoff

_ALONE_S = (1.0, 20.0)
"""A try may cost as long as a confirm is waited for, and all others wait so long."""


@dataclass(slots=True)
class _Held:
    """One queue: until when it is left alone, and the tasks of which it is known that they are told there."""

    until: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(*_ALONE_S))
    tasks: set[tuple[str, int]] = field(default_factory=set)


class HeldQueues:
    """Queues that the broker nacks, or that leave it without an answer, while others take what they are told."""

    def __init__(self, shards: int) -> None:
        self._shards = shards
        self._held: dict[str, _Held] = {}

    def tasks(self) -> list[tuple[str, int]]:
        """VOs and tasks of which nothing is to be told now."""
        now = time.monotonic()
        return [task for held in self._held.values() if held.until > now for task in held.tasks]

    def sendable(self, untold: Sequence[Untold]) -> list[Untold]:
        """What is sent of a window: a queue that is to be tried has its first message alone, for while the broker is
        busy with one that has no leader, it confirms nothing else on the channel. Of the others in trouble none."""
        if not self._held:
            return list(untold)
        now, good = time.monotonic(), []
        for one in untold:
            held = self._held.get(queue_of_task(one.vo, one.task_id, self._shards))
            if held is None:
                good.append(one)
                continue
            held.tasks.add((one.vo, one.task_id))
            if held.until <= now:
                return [one]
        return good

    def failed(self, queue: str, one: Untold) -> None:
        """It did not take this message."""
        held = self._held.setdefault(queue, _Held())
        held.tasks.add((one.vo, one.task_id))
        held.until = time.monotonic() + held.backoff.next_s()

    def works(self, queue: str) -> None:
        """It took one."""
        self._held.pop(queue, None)
