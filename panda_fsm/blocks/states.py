"""The kinds and statuses of a data block."""

from enum import StrEnum


class BlockKind(StrEnum):
    """Dispatch blocks carry inputs to a site, sub-destination blocks bring outputs home to a destination block."""

    DISPATCH = "dispatch"
    DESTINATION = "destination"
    SUB = "sub"


class BlockStatus(StrEnum):
    """Files may join a block while it is open, and never afterwards."""

    OPEN = "open"
    CLOSED = "closed"
