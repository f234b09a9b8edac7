"""Consumes one queue in batches: a connection thread fills a buffer, a worker handles it, one ack settles a batch."""

import math
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import structlog
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from broker.connection import BrokerThread
from broker.topology import DEAD_LETTERS
from panda_fsm.errors import TransientError
from panda_fsm.handler import Delivery

log = structlog.get_logger()

_BACKOFF_S = (0.1, 5.0)
# Under load a moment more fills the batch, and a full batch costs less CPU (ADR 0007); a lone message never waits.
_BUSY_PER_S = 100
_LINGER_S = 0.05
_MEMORY_S = 0.5
_LOOK_UP_S = 1.0
_BATCH_BYTES = 1_000_000


class _Pace:
    """Messages per second, smoothed: is it worth waiting for more?"""

    def __init__(self) -> None:
        self._per_s = 0.0
        self._noted_at = time.monotonic()

    def note(self, messages: int) -> None:
        now = time.monotonic()
        elapsed = max(now - self._noted_at, 1e-4)
        self._noted_at = now
        self._per_s += (messages / elapsed - self._per_s) * (1 - math.exp(-elapsed / _MEMORY_S))

    @property
    def is_busy(self) -> bool:
        return self._per_s > _BUSY_PER_S


class BatchConsumer(BrokerThread):
    """Hands batches of up to `size` deliveries to `handle`, which returns when all of them may be acknowledged."""

    def __init__(self, broker_url: str, queue: str, size: int, handle: Callable[[Sequence[Delivery]], None]) -> None:
        super().__init__(broker_url, f"{queue}.consume")
        self._queue = queue
        self._size = size
        self._handle = handle
        self._buffer: deque[Delivery] = deque()
        self._filled = threading.Condition()
        self._ending = False

    def run(self) -> None:
        """Consume until `end` is called; then finish the batch in hand, acknowledge it and close."""
        self.start()
        pace = _Pace()
        while True:
            with self._filled:
                while not self._buffer and not self._ending:
                    self._filled.wait(_LOOK_UP_S)
                    self.check_alive()
                if pace.is_busy:
                    self._filled.wait_for(lambda: len(self._buffer) >= self._size or self._ending, _LINGER_S)
                if self._ending:
                    break
                channel = self.channel
                batch = self._take()
            pace.note(len(batch))
            if batch:  # while we lingered, the connection may have been lost and the buffer with it
                self._work(batch, channel)
        self.stop()

    def _take(self) -> list[Delivery]:
        """Up to `size` deliveries and `_BATCH_BYTES`: one message may hold thousands of jobs."""
        batch: list[Delivery] = []
        held = 0
        while (
            self._buffer and len(batch) < self._size and (not batch or held + len(self._buffer[0].body) < _BATCH_BYTES)
        ):
            batch.append(self._buffer.popleft())
            held += len(batch[-1].body)
        return batch

    def end(self) -> None:
        """Stop after the present batch. Callable from a signal handler's thread."""
        with self._filled:
            self._ending = True
            self._filled.notify_all()

    def _work(self, batch: list[Delivery], channel: Channel | None) -> None:
        """Handle a batch; while an outside system is away, the same batch is tried again."""
        wait_s, longest_s = _BACKOFF_S
        while True:
            try:
                self._handle(batch)
                break
            except TransientError as error:
                log.warning("waiting", queue=self._queue, error=str(error), batch=len(batch))
                if self._ending:
                    return  # unacknowledged: the broker gives the batch to somebody else
                time.sleep(wait_s)
                wait_s = min(longest_s, wait_s * 2)
        self._acknowledge(batch[-1].tag, channel)

    def _acknowledge(self, tag: int, channel: Channel | None) -> None:
        def ack() -> None:
            # A tag of a lost channel means nothing on the new one; those messages are redelivered and ignored.
            if channel is not None and channel is self.channel and channel.is_open:
                channel.basic_ack(tag, multiple=True)

        self.call(ack)

    def on_ready(self, channel: Channel) -> None:
        channel.basic_qos(prefetch_count=2 * self._size)
        channel.add_on_cancel_callback(self._cancelled)
        channel.basic_consume(self._queue, self._received)

    def on_lost(self) -> None:
        with self._filled:
            self._buffer.clear()

    def _cancelled(self, _frame: Any) -> None:
        """The queue was deleted under us: connect anew, which declares it again."""
        log.warning("consumer_cancelled", queue=self._queue)
        self._close()

    def _received(self, _channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        headers: Mapping[str, Any] = properties.headers or {}
        retries = headers.get("retries", 0)
        # What the broker gave up on belongs to the queue it died in last.
        deaths = headers.get("x-death") if self._queue == DEAD_LETTERS else None
        queue = str(deaths[0].get("queue")) if isinstance(deaths, list) and deaths else self._queue
        delivery = Delivery(
            tag=method.delivery_tag or 0,
            body=body,
            queue=queue,
            exchange=method.exchange or "",
            routing_key=str(headers.get("key") or method.routing_key),
            retries=retries if isinstance(retries, int) else 0,
            headers={str(key): str(value) for key, value in headers.items()},
        )
        with self._filled:
            self._buffer.append(delivery)
            if len(self._buffer) in (1, self._size):  # what the worker may be waiting for
                self._filled.notify()
