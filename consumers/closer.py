"""Closer: closes a sub-destination block as soon as none of its files is unknown any more."""

from panda_fsm.handler import Item, Service
from panda_fsm.outcomes import CloseBlocks, Outcome, Reject


class Closer(Service[None]):
    """The expected number of the old server means just this: failed and killed files count as done."""

    name = "closer"
    needs_jobs = False

    def decide(self, item: Item[None]) -> Outcome:
        if not item.message.job_ids:
            return Reject(f"closer does not handle {item.message.msg_type}")
        return CloseBlocks(item.message.job_ids[0])
