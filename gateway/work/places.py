"""What tells a pilot from all others: who asks again from the same place is the same pilot, and lost its answer."""

import re
from hashlib import blake2b
from uuid import UUID

from gateway.wire.pilot_requests import AcquireRequest

_SLOT = re.compile(r"slot[0-9_]+@.+", re.IGNORECASE)
"""How batch systems name the part of a machine that one pilot has to itself; pilots report it as their node."""
_NO_NAME = frozenset({"", "0", "unknown", "none"})


def place(holder: str, ask: AcquireRequest) -> str | None:
    """A hash of its worker, or of its slot, at this queue and on this node; None where nothing tells pilots apart.

    A machine runs many pilots with one token, a factory sends thousands: its name alone says nothing of the pilot.
    """
    worker = _name(ask.worker_id)
    factory = _name(ask.harvester_id) or _name(ask.scheduler_id)
    node = ask.node or ""
    if not worker and not _SLOT.fullmatch(node):
        return None
    parts = (part.encode(errors="replace") for part in (holder, ask.site_name, node, worker and factory, worker))
    digest = blake2b(b"".join(b"%d:%b" % (len(part), part) for part in parts), digest_size=16)
    return str(UUID(bytes=digest.digest()))


def _name(value: str | None) -> str:
    """A name that says something."""
    return value if value and value.lower() not in _NO_NAME else ""
