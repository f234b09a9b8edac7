"""Asks the broker what is there, and how much waits in it, without changing anything."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Self

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.exceptions import AMQPError, ChannelClosedByBroker

from broker.connection import parameters
from broker.policies import MOST_MESSAGES
from broker.reasons import NOT_FOUND, reason_of
from panda_fsm.bindings import JEDI_REQUESTS, Further
from panda_fsm.errors import TransientError


class Inspection:
    """A connection to ask with: an answer that closes a channel is an answer like others."""

    def __init__(self, broker_url: str) -> None:
        try:
            self._connection = pika.BlockingConnection(parameters(broker_url, "topology"))
        except (AMQPError, OSError) as error:
            raise TransientError(f"no message broker at PANDA_FSM_BROKER_URL: {reason_of(error)}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Give the connection back."""
        self._connection.close()

    def refusal(self, call: Callable[[BlockingChannel], object]) -> ChannelClosedByBroker | None:
        """Why the broker would not; None when it did."""
        channel = self._connection.channel()
        try:
            call(channel)
        except ChannelClosedByBroker as error:
            return error
        channel.close()
        return None

    def contents(self, queue: str) -> tuple[int, int] | None:
        """Messages that wait and consumers of a queue; None when there is no such queue."""
        return self.all_contents([queue])[queue]

    def all_contents(self, queues: Sequence[str]) -> dict[str, tuple[int, int] | None]:
        """The same of many, by one channel: an answer that closes it costs another."""
        found: dict[str, tuple[int, int] | None] = {}
        channel = self._connection.channel()
        for queue in queues:
            try:
                said = channel.queue_declare(queue, passive=True).method
                found[queue] = said.message_count, said.consumer_count
            except ChannelClosedByBroker as error:
                if error.reply_code != NOT_FOUND:
                    raise
                found[queue] = None
                channel = self._connection.channel()
        channel.close()
        return found


@dataclass(frozen=True, slots=True)
class Depth:
    """What waits in a queue, and how many read it."""

    queue: str
    messages: int
    consumers: int

    @property
    def is_full(self) -> bool:
        """Whether it holds as many as our policy lets it: then the oldest go."""
        return self.messages >= MOST_MESSAGES


class DepthReader:
    """Asks again and again how much waits, by one connection that is kept; raises TransientError while it cannot."""

    def __init__(self, broker_url: str) -> None:
        self._broker_url = broker_url
        self._broker: Inspection | None = None

    def depths(self, queues: Sequence[str]) -> dict[str, tuple[int, int] | None]:
        """Messages that wait and consumers, by queue; None: there is no such queue."""
        try:
            if self._broker is None:
                self._broker = Inspection(self._broker_url)
            return self._broker.all_contents(queues)
        except (AMQPError, OSError) as error:
            self.close()
            raise TransientError(f"the message broker does not say what waits: {reason_of(error)}") from error

    def close(self) -> None:
        """Give the connection back."""
        broker, self._broker = self._broker, None
        if broker is not None:
            with suppress(AMQPError, OSError):
                broker.close()


def depths_of_jedi(broker_url: str, further: Further) -> list[Depth]:
    """Of the queues that JEDI writes and reads. Raises TransientError when the broker is away."""
    with Inspection(broker_url) as broker:
        names = [JEDI_REQUESTS, *sorted(one.queue for one in further)]
        return [Depth(name, *found) for name in names if (found := broker.contents(name)) is not None]
