"""Where JEDI hears of its jobs: names of exchange and queues, and which of them a task's messages go to."""

import re
from functools import lru_cache
from zlib import crc32

STATUS = "jedi.status"
"""The exchange, of type topic; its keys are `<vo>.<taskid>.<status>`, so that others can listen too."""
REPLIES = "jedi.replies"
_STRANGE = re.compile(r"[^A-Za-z0-9_-]")
_LONGEST = 100


def replies_queue(vo: str) -> str:
    """Where the JEDI of a VO may have its replies sent."""
    return f"{REPLIES}.{_word(vo)}"


def status_queue(vo: str, shard: int) -> str:
    """A shard's queue, and the exchange that has all its messages: for the queue, and for `STATUS` (ADR 0039)."""
    return f"{STATUS}.{_word(vo)}.{shard}"


def status_queues(vo: str, shards: int) -> tuple[str, ...]:
    """All status queues of a VO."""
    return tuple(status_queue(vo, shard) for shard in range(shards))


@lru_cache(maxsize=10_000)
def queue_of_task(vo: str, task_id: int, shards: int) -> str:
    """The queue of all messages about a task: one consumer has them, in order."""
    return status_queue(vo, crc32(str(task_id).encode()) % shards)


def _word(vo: str) -> str:
    """A VO's name as one word of a key: a `#` in a binding would match the queues of all others."""
    return _STRANGE.sub("_", vo)[:_LONGEST] or "_"
