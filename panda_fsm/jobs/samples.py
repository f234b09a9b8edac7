"""How a payload does while it runs: what of a pilot's heartbeat goes into the job's small history."""

from collections.abc import Mapping
from typing import Any

SAMPLED = ("cpu_consumption_time", "max_rss", "max_pss", "n_events", "tot_rbytes", "tot_wbytes")
"""By the names of reports; columns of the history are called the same."""
_NAMES = frozenset(SAMPLED)
MINUTES = 10
"""One sample of a job in so many minutes is kept: the first."""
_LARGEST = 2**62


def sample(attributes: Mapping[str, Any]) -> dict[str, int] | None:
    """What is worth keeping of a heartbeat's attributes; None of most, which say only that the job goes on."""
    if _NAMES.isdisjoint(attributes):
        return None
    found = {name: attributes[name] for name in SAMPLED if name in attributes}
    return {
        name: int(value) for name, value in found.items() if isinstance(value, int | float) and abs(value) < _LARGEST
    } or None
