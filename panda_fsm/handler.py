"""What a service is: which messages it takes, what it asks outside beforehand, and how it decides."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from panda_fsm.events import AnyMessage
from panda_fsm.job import Job
from panda_fsm.outcomes import Outcome


@dataclass(slots=True)
class Delivery:
    """One message as the broker handed it over; `tag` acknowledges it, `retries` counts its delays so far."""

    tag: int
    body: bytes
    queue: str
    exchange: str = ""
    routing_key: str = ""
    retries: int = 0
    headers: dict[str, Any] | None = None


@dataclass(slots=True)
class Item:
    """One message about one job. `plan` is what `prepare` learnt outside for it."""

    delivery: Delivery
    message: AnyMessage
    job: Job | None
    plan: Any = None


class Service:
    """A queue's consumer. Override `decide`; override `prepare` when outside systems must be asked first."""

    name: ClassVar[str]
    asks_outside: ClassVar[bool] = False
    """True: jobs are read without a lock, `prepare` runs, and the transaction checks that nothing moved meanwhile."""
    needs_jobs: ClassVar[bool] = True
    needs_files: ClassVar[bool] = False
    needs_report: ClassVar[bool] = False

    def prepare(self, items: Sequence[Item]) -> None:
        """Ask outside systems in bulk, with no row locked, idempotently; leave the answers in `item.plan`."""

    def decide(self, item: Item) -> Outcome:
        """The outcome for one message. Pure: reads the item, changes nothing."""
        raise NotImplementedError
