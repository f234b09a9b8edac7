"""The one source of bindings: which routing keys each queue must receive, from the tables of steps and commands."""

from collections import defaultdict

from panda_fsm.blocks.table import BLOCK
from panda_fsm.jobs.commands import COMMANDS
from panda_fsm.jobs.table import JOB

GATEWAY = "gateway"
"""It claims jobs in the database and consumes no queue."""
SUBMISSIONS = "setupper.submissions"
_APART = {("setupper", "submit"): SUBMISSIONS}
"""Submissions are up to 1 MB each, so they have a queue of their own, of which few are held at a time."""


def bindings() -> dict[str, frozenset[str]]:
    """Routing keys by queue."""
    pairs = [*JOB.bindings(), *BLOCK.bindings(), *((one.by, key) for one in COMMANDS for key in one.on)]
    keys: dict[str, set[str]] = defaultdict(set)
    for service, key in pairs:
        if service != GATEWAY:
            keys[_APART.get((service, key), service)].add(key)
    return {queue: frozenset(found) for queue, found in keys.items()}
