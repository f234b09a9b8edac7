"""The kinds and statuses of a data block."""

from enum import StrEnum


class BlockKind(StrEnum):
    """Dispatch blocks carry inputs to a site, sub-destination blocks bring outputs home to a destination block."""

    DISPATCH = "dispatch"
    DESTINATION = "destination"
    SUB = "sub"


class BlockStatus(StrEnum):
    """Where a block is in its life. Files may join it while it takes any, and never afterwards."""

    OPEN = "open"
    """Of programs before, which knew nothing between this and `closed`."""
    DEFINED = "defined"
    RUNNING = "running"
    TO_BE_CLOSED = "tobeclosed"
    CLOSED = "closed"
    COMPLETED = "completed"
    CLEANUP = "cleanup"
    DELETED = "deleted"


TAKES_FILES = frozenset({BlockStatus.OPEN, BlockStatus.DEFINED, BlockStatus.RUNNING})
