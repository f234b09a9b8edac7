"""Requests that a client may send again because it never heard the answer, and what they were answered."""

from collections.abc import Sequence
from dataclasses import dataclass

from panda_fsm.descriptions import AuditRow
from panda_fsm.effects import Outgoing

KEY_DAYS = 7
"""A key means the same request for so long."""
LOST_AFTER_S = 2.0
"""An answer that is neither given nor lost for so long never will be: its gateway died."""
REPEATED_WITHIN_S = 1800.0
"""Without a key, a request is the repetition of one that was not answered for so long. Real clients wait 600 s."""


@dataclass(frozen=True, slots=True)
class Once:
    """A request that shall be done once, however often it comes: with a key, or else known by its content."""

    request_id: str
    owner: str
    key: str | None
    request_hash: str
    answer: str
    messages: Sequence[Outgoing]
    audit: AuditRow | None = None


@dataclass(frozen=True, slots=True)
class Earlier:
    """The same request, as it came before. `is_open`: whether its answer is lost will be seen in a moment."""

    request_id: str
    request_hash: str
    answer: str
    is_open: bool = False
