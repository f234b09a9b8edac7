"""Keeps in PostgreSQL what the broker itself gave up on, after too many crashes with the message in hand."""

from panda_fsm.bindings import DEAD_LETTERS
from panda_fsm.handler import Item, Service
from panda_fsm.outcomes import Outcome, Reject


class DeadLetters(Service[None]):
    """Every message of the broker's dead letter queue becomes a row that can be looked at and replayed."""

    name = "dead_letters"
    needs_jobs = False
    buries = True

    def decide(self, item: Item[None]) -> Outcome:
        headers = item.delivery.headers or {}
        if "x-first-death-queue" not in headers and item.delivery.queue != DEAD_LETTERS:
            return Reject(f"it came while there was no queue {item.delivery.queue}")
        queue, why = headers.get("x-first-death-queue", "?"), headers.get("x-first-death-reason", "?")
        return Reject(f"given up by the broker in queue {queue}: {why}")
