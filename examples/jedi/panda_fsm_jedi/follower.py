"""Follows what becomes of a VO's jobs: all shards of its status queues, each message acknowledged once it was taken."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from pika.adapters.blocking_connection import BlockingChannel, BlockingConnection
from pika.exceptions import ChannelClosedByBroker

from panda_fsm_jedi.bunches import decode
from panda_fsm_jedi.connection import Connection, log, reason_of
from panda_fsm_jedi.messages import JobStatus, Told, told
from panda_fsm_jedi.queues import SHARDS, status_queues

_PREFETCH = 200
_LOOK_AGAIN_S = 1.0
_IDLE_S = 5.0
"""A queue of which nothing came for so long is consumed anew."""


class Follower(Connection):
    """Calls `take` with each message, one at a time; a queue has one active consumer, so a second program stands by.

    A message is acknowledged when `take` has returned: what it raised ends the follower (`check`), and the message
    comes again. A status that is not newer than what was taken of its job is dropped here; who begins with a kept
    picture gives the `seq` of its jobs.
    """

    def __init__(
        self,
        url: str,
        vo: str,
        take: Callable[[Told], object],
        *,
        shards: int = SHARDS,
        seqs: Mapping[int, int] | None = None,
    ) -> None:
        super().__init__(url, f"jedi status of {vo}")
        self._queues = status_queues(vo, shards)
        self._take = take
        self._seqs = dict(seqs or {})
        self._connection_of_queues: BlockingConnection | None = None
        self._missing: set[str] = set()
        self._channels: dict[str, BlockingChannel] = {}
        self._heard_at: dict[str, float] = {}
        self._look_at = 0.0
        self.connected = threading.Event()
        """Set at each new connection, for the caller to clear: what was missed meanwhile is asked for by `replay`."""
        self.taken = self.dropped = 0

    def serve(self, connection: BlockingConnection) -> None:
        """Consume all queues that are there."""
        self._connection_of_queues, self._missing = connection, set(self._queues)
        self._channels.clear()
        self._consume_missing()
        self.connected.set()

    def turn(self) -> None:
        """Look again for the queues that were not there, and for those that say nothing.

        Where a queue was deleted and at once declared again, RabbitMQ 3.10 may go on to count us as its consumer and
        hand us messages that get lost on the way: a new channel helps, for the old one gives them back.
        """
        now = time.monotonic()
        for queue, channel in self._channels.items():
            if now - self._heard_at[queue] > _IDLE_S and queue not in self._missing:
                self._missing.add(queue)
                channel.close()
                self._look_at = 0.0
        if self._missing and now > self._look_at:
            self._consume_missing()

    def _consume_missing(self) -> None:
        assert self._connection_of_queues is not None  # noqa: S101  # called with a connection only
        self._look_at = time.monotonic() + _LOOK_AGAIN_S
        for queue in sorted(self._missing):
            # A channel each: the broker closes the one on which a queue is asked for that is not there.
            channel = self._connection_of_queues.channel()
            try:
                channel.basic_qos(prefetch_count=_PREFETCH)
                channel.add_on_cancel_callback(partial(self._cancelled, queue))
                channel.basic_consume(queue, partial(self._heard, queue))
            except ChannelClosedByBroker as error:
                log.warning("%s: %s", queue, reason_of(error))
            else:
                self._missing.discard(queue)
                self._channels[queue], self._heard_at[queue] = channel, time.monotonic()

    def _cancelled(self, queue: str, _method: object) -> None:
        """The queue was deleted."""
        self._missing.add(queue)

    def _heard(self, queue: str, channel: BlockingChannel, method: Any, _properties: object, body: bytes) -> None:
        self._heard_at[queue] = time.monotonic()
        try:
            message = told(decode(body))
        except ValueError as error:
            # Kept back it would come again and again; what it said is asked for by `replay`.
            log.error("a message that cannot be read is dropped: %s", error)
            message = None
        if message is not None and self._is_news(message):
            self._take(message)
            self.taken += 1
            if isinstance(message, JobStatus):
                self._seqs[message.jobid] = message.seq
        channel.basic_ack(method.delivery_tag)

    def _is_news(self, message: Told) -> bool:
        is_news = not isinstance(message, JobStatus) or message.seq > self._seqs.get(message.jobid, 0)
        self.dropped += not is_news
        return is_news
