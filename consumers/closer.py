"""Closer: closes a block as soon as none of its files is unknown any more, and what closes with it."""

from panda_fsm.handler import Item, Service
from panda_fsm.messages import CheckBlock
from panda_fsm.outcomes import CloseBlocks, Outcome, Reject


class Closer(Service[None]):
    """The expected number of the old server means just this: failed and killed files count as done."""

    name = "closer"
    needs_jobs = False
    gathers_s = 0.5

    def decide(self, item: Item[None]) -> Outcome:
        message = item.message
        if isinstance(message, CheckBlock) and message.block:
            return CloseBlocks(block=message.block)
        if not message.job_ids:
            return Reject(f"closer does not handle {message.msg_type}")
        return CloseBlocks(message.job_ids[0])
