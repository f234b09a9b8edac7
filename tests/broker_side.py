"""Consumers in threads of the test, and a plain connection to look at queues with, or to harm them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Self

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import ChannelClosedByBroker

from broker.consume import BatchConsumer
from panda_fsm.effects import Outgoing
from panda_fsm.handler import Delivery
from panda_fsm.messages import KillJob
from panda_fsm.trouble import Condition


def kill(job_id: int = 1) -> Outgoing:
    """A request that somebody must take: the Watcher."""
    return Outgoing.of(KillJob(job_id=job_id))


@contextlib.contextmanager
def channel_of(broker_url: str) -> Iterator[BlockingChannel]:
    """A channel of its own connection."""
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        yield connection.channel()


def waiting(broker_url: str, queue: str) -> int:
    """Messages that lie in a queue; -1 when there is no such queue."""
    with channel_of(broker_url) as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).method.message_count)
        except ChannelClosedByBroker:
            return -1


def consumers(broker_url: str, queue: str) -> int:
    """How many consume a queue; -1 when there is no such queue."""
    with channel_of(broker_url) as channel:
        try:
            return int(channel.queue_declare(queue, passive=True).method.consumer_count)
        except ChannelClosedByBroker:
            return -1


def put(broker_url: str, queue: str, *bodies: bytes, headers: dict[str, Any] | None = None) -> None:
    """Lay messages straight into a queue."""
    with channel_of(broker_url) as channel:
        channel.confirm_delivery()
        for body in bodies:
            channel.basic_publish("", queue, body, pika.BasicProperties(delivery_mode=2, headers=headers))


class Consuming:
    """A BatchConsumer in a thread, until the `with` block ends; what it was given stands in `batches`."""

    def __init__(
        self,
        broker_url: str,
        queue: str = "watcher",
        size: int = 50,
        handle: Callable[[Sequence[Delivery]], None] = lambda _batch: None,
        **options: Any,
    ) -> None:
        self.batches: list[list[Delivery]] = []
        self.told: list[tuple[float, str, str | None]] = []
        self.condition = Condition(lambda part, trouble: self.told.append((time.monotonic(), part, trouble)))
        self._do = handle
        self.consumer = BatchConsumer(broker_url, queue, size, self._handle, condition=self.condition, **options)
        self._thread = threading.Thread(target=self.consumer.run, name="consuming", daemon=True)

    @property
    def handled(self) -> list[Delivery]:
        """All that was handled, in order."""
        return [one for batch in self.batches for one in batch]

    @property
    def bodies(self) -> list[bytes]:
        """The same, as it was published."""
        return [one.body for one in self.handled]

    def _handle(self, batch: Sequence[Delivery]) -> None:
        self._do(batch)
        self.batches.append(list(batch))

    def __enter__(self) -> Self:
        self._thread.start()
        assert self.consumer.ready.wait(30), self.condition.trouble
        return self

    def __exit__(self, *_: object) -> None:
        self.consumer.end()
        self._thread.join(20)
        assert not self._thread.is_alive(), "the consumer does not end"
