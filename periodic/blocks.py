"""Blocks that are complete but open: the Closer's message was lost, so it is asked again, once a block."""

from collections.abc import Callable
from typing import Protocol

from panda_fsm.messages import CheckBlock, Message
from periodic.schedule import Duty

_PERIOD_S = 60.0
_SLICE = 500


class OpenBlocks(Protocol):
    """The database side."""

    def remind(self, after: int, limit: int, about: Callable[[str, int | None], Message]) -> int | None:
        """Look at open blocks numbered above `after`; the last number looked at, None at the end."""

    def close(self) -> None: ...


def duty(blocks: OpenBlocks) -> Duty:
    """Through all open blocks every minute, a slice at a time."""
    after = 0

    def run() -> bool:
        nonlocal after
        last = blocks.remind(after, _SLICE, about)
        after = last or 0
        return last is not None

    return Duty("blocks", _PERIOD_S, run, blocks.close)


def about(block: str, job_id: int | None) -> Message:
    """What is said of a complete block; it may have no job any more."""
    return CheckBlock(block=block, job_id=job_id)
