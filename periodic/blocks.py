"""Blocks that are complete but open are asked about again; those that nobody uses any more are the DDM's to delete."""

from collections.abc import Callable
from typing import Protocol

from panda_fsm.messages import CheckBlock, Message
from periodic.schedule import Duty, Memory

_PERIOD_S = 60.0
_SLICE = 500
_UNUSED_S = 1800.0
_AGAIN_S = 3600.0


class OpenBlocks(Protocol):
    """The database side."""

    def remind(self, after: int, limit: int, about: Callable[[str, int | None], Message]) -> int | None:
        """Look at open blocks numbered above `after`; the last number looked at, None at the end."""

    def close(self) -> None: ...


class SettledBlocks(Protocol):
    """The database side of what the DDM is to settle."""

    def settle(self, limit: int, unused_s: float, again_s: float) -> int:
        """Ask the DDM about at most `limit` blocks; how many there were."""

    def close(self) -> None: ...


def settling(blocks: SettledBlocks) -> Duty:
    """Every minute: what has been unused for half an hour, and what was asked for an hour ago."""
    what = "Has blocks deleted that nobody uses any more, and asks the DDM again what it did not answer."

    def run() -> bool:
        return blocks.settle(_SLICE, _UNUSED_S, _AGAIN_S) == _SLICE

    return Duty("settled_blocks", _PERIOD_S, what, run, alone=True, rest=blocks.close)


def duty(blocks: OpenBlocks) -> Duty:
    """Through all open blocks every minute, a slice at a time."""
    after = Memory(0)

    def run() -> bool:
        last = blocks.remind(after.now, _SLICE, about)
        after.now = last or 0
        return last is not None

    what = "Asks again about blocks that are complete but open."
    return Duty("blocks", _PERIOD_S, what, run, alone=True, rest=blocks.close, memory=after)


def about(block: str, job_id: int | None) -> Message:
    """What is said of a complete block; it may have no job any more."""
    return CheckBlock(schema_version=2 if job_id is None else 1, block=block, job_id=job_id)
