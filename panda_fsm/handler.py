"""What a service is: which messages it takes, what it asks outside beforehand, and how it decides."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Generic, TypeVar

from panda_fsm.jobs.job import Job
from panda_fsm.messages import AnyMessage, decode
from panda_fsm.outcomes import Outcome

Prepared = TypeVar("Prepared")


SENDER = ("user_id", "reply_to", "content_encoding")
"""What the broker says of a message's sender: properties of the message, and lost when we send it again."""
REPLAY_OF = "x-replay-of"
"""The header of a replay: the number of the dead letter that it was, so that it is known when it dies again."""
_LONGEST_NUMBER = 18


def letter_replayed(headers: Mapping[str, Any]) -> int | None:
    """The number of the dead letter that a message with these headers is a replay of."""
    number = headers.get(REPLAY_OF)
    is_one = isinstance(number, str) and number.isascii() and number.isdigit() and len(number) <= _LONGEST_NUMBER
    return int(str(number)) if is_one else None


@dataclass(slots=True)
class Delivery:
    """One message as the broker handed it over; `tag` acknowledges it.

    `retries` counts its delays so far, `waiting_since` (seconds since 1970) is when the first began; `deliveries`
    counts how often the broker handed it out before without an answer. `user_id` is the broker's user who sent it,
    where the sender says so: the broker vouches for it. `reply_to` and `content_encoding` are as the sender put them.
    `replay_of` is the dead letter that it was before somebody replayed it, `traceparent` the trace that it belongs to.
    """

    tag: int
    body: bytes
    queue: str
    exchange: str = ""
    routing_key: str = ""
    retries: int = 0
    waiting_since: float | None = None
    deliveries: int = 0
    headers: dict[str, Any] | None = None
    user_id: str | None = None
    reply_to: str | None = None
    content_encoding: str | None = None
    replay_of: int | None = None
    traceparent: str | None = None

    @property
    def sender(self) -> dict[str, str]:
        """What the broker says of who sent it, as headers of a message of ours that brings it back."""
        said = {name: getattr(self, name) for name in SENDER}
        return {name: value for name, value in said.items() if value is not None}

    @property
    def waited_s(self) -> float:
        """Seconds since its first delay began."""
        return 0.0 if self.waiting_since is None else max(0.0, time.time() - self.waiting_since)


@dataclass(slots=True)
class DeadLetter:
    """A message that cannot be handled, with everything needed to understand and replay it.

    One that was not tried for a while may be a good one, if it looks like one of ours.
    """

    queue: str
    exchange: str
    routing_key: str
    payload: bytes
    headers: dict[str, Any]
    reason: str
    error: str | None = None
    untried: Delivery | None = None
    replay_of: int | None = None


@dataclass(slots=True)
class Item(Generic[Prepared]):
    """One message about one job. `prepared` is what the service learnt outside for it."""

    delivery: Delivery
    message: AnyMessage
    job: Job | None
    prepared: Prepared | None = None


class Service(Generic[Prepared]):
    """A queue's consumer. Override `decide`; override `prepare` when outside systems must be asked first."""

    name: ClassVar[str]
    asks_outside: ClassVar[bool] = False
    """True: jobs are read without a lock, `prepare` runs, and the transaction checks that nothing moved meanwhile."""
    needs_jobs: ClassVar[bool] = True
    needs_files: ClassVar[bool] = False
    needs_report: ClassVar[bool] = False
    buries: ClassVar[bool] = False
    """True: dead letters are what it makes of messages, and none is doubted."""
    batch_limit: ClassVar[int | None] = None
    """Most messages of one batch, where handling one takes long; None: as many as the installation allows."""
    gathers_s: ClassVar[float] = 0.0
    """So long it waits for more before it begins a batch: nobody waits for what it does."""

    def read(self, delivery: Delivery) -> AnyMessage:
        """The message in a delivery. Raises UnreadableError with the reason when there is none."""
        return decode(delivery.body)

    def prepare(self, items: Sequence[Item[Prepared]]) -> None:
        """Ask outside systems in bulk, with no row locked, idempotently; leave the answers in `item.prepared`."""

    def mistrust(self, job: Job, error: str) -> bool:
        """What was answered outside about a job could not be written. True: next time it is not asked about."""
        return False

    def accuse(self, job: Job, error: str) -> None:
        """Without that answer all went well: whoever gave it is to blame."""

    def close(self) -> None:
        """Give back what it holds."""

    def decide(self, item: Item[Prepared]) -> Outcome:
        """The outcome for one message. Pure: reads the item, changes nothing."""
        raise NotImplementedError
