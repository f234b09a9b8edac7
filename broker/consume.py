"""Consumes one queue in batches: a connection thread fills a buffer, a worker handles it, acks settle the batch."""

import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import structlog
from pika.channel import Channel
from pika.spec import Basic, BasicProperties

from broker.buffer import Batch, Buffer
from broker.connection import BrokerThread
from broker.deliveries import delivery
from broker.leaderless import Streak, is_internal, revive
from broker.pace import Pace
from broker.watchdog import Watchdog
from panda_fsm.bindings import Further
from panda_fsm.errors import SystemicError, TransientError
from panda_fsm.figures import RETRIES
from panda_fsm.handler import Delivery
from panda_fsm.progress import Progress
from panda_fsm.trouble import Backoff, Condition

log = structlog.get_logger()

_RETRY_S = 0.1, 5.0
_RETRY_SYSTEMIC_S = 1.0, 15.0
_PASSING_TRIES = 2
"""Trouble that is over after so many tries is not worth telling."""
_LOOK_UP_S = 1.0
_IDLE_S = 5.0
_SETTLE_S = 5.0


class BatchConsumer(BrokerThread):
    """Hands batches of up to `size` deliveries to `handle`, which returns when all of them may be acknowledged."""

    def __init__(
        self,
        broker_url: str,
        queue: str,
        size: int,
        handle: Callable[[Sequence[Delivery]], None],
        *,
        prefetch: int | None = None,
        gathers_s: float = 0.0,
        condition: Condition | None = None,
        batch_limit_s: float = 300,
        further: Further = frozenset(),
        progress: Progress | None = None,
    ) -> None:
        """`prefetch`: most deliveries held at a time, 2 * `size` unless they are heavy. `gathers_s`: so long it waits
        until a batch is full. While `progress` is paused it finishes what it holds and takes nothing more.

        A call of `handle` that lasts longer than `batch_limit_s` ends the process.
        """
        super().__init__(broker_url, f"{queue}.consume", condition, further)
        self._queue = queue
        self._size = size
        self._prefetch = prefetch or 2 * size
        self._gathers_s = gathers_s
        self._handle = handle
        self._buffer = Buffer(size)
        self._filled = threading.Condition()
        self._ending = False
        self._busy = False
        self._idle_since = 0.0
        self._watchdog = Watchdog(f"a batch of {queue}", batch_limit_s)
        self._leaderless = Streak()
        self._tag: str | None = None
        self._progress = progress or Progress()
        self._progress.when_paused(lambda: self.call(self._take_or_rest))

    def run(self) -> None:
        """Consume until `end` is called; then finish the batch in hand, acknowledge it and close."""
        self._watchdog.start()
        self.start()
        pace = Pace()
        while True:
            with self._filled:
                self._await_deliveries(pace)
                if self._ending:
                    break
                channel = self.channel
                batch = self._buffer.take(time.monotonic())
                self._busy = bool(batch.deliveries)
            pace.note(len(batch.deliveries))
            if batch.deliveries:  # while we lingered, the connection may have been lost and the buffer with it
                if batch.is_suspect:
                    self._await_acknowledged(channel)
                self._work(batch, channel)
                self._busy, self._idle_since = False, time.monotonic()
        self.stop()
        self._watchdog.stop()

    def _await_deliveries(self, pace: Pace) -> None:
        while not self._ending:
            wait_s = self._buffer.wait_s(time.monotonic())
            if wait_s == 0:
                break
            self._filled.wait(_LOOK_UP_S if wait_s is None else wait_s)
            self.check_alive()
        if (linger_s := max(self._gathers_s, pace.linger_s)) > 0:
            self._filled.wait_for(lambda: self._buffer.is_full or self._ending, linger_s)

    def end(self) -> None:
        """Stop after the present batch. Callable from a signal handler's thread."""
        with self._filled:
            self._ending = True
            self._filled.notify_all()

    def _work(self, batch: Batch, channel: Channel | None) -> None:
        """Handle a batch; while an outside system is away, the same batch is tried again.

        It is let go when we end, or when its channel is gone: then the broker gives it to somebody else.
        """
        self._progress.begin(len(batch.deliveries))
        is_handled = self._try(batch, channel)
        self._progress.end(len(batch.deliveries) if is_handled else 0)

    def _try(self, batch: Batch, channel: Channel | None) -> bool:
        """Whether it was handled in the end."""
        retry, retry_systemic = Backoff(*_RETRY_S), Backoff(*_RETRY_SYSTEMIC_S)
        tries = 0
        while channel is not None and channel is self.channel:
            try:
                self._watched(batch.deliveries)
            except TransientError as error:
                tries += 1
                self._tell(error, len(batch.deliveries), tries)
                wait_s = (retry_systemic if isinstance(error, SystemicError) else retry).next_s()
                with self._filled:
                    self._filled.wait_for(lambda: self._ending or self.channel is not channel, wait_s)
                    if self._ending:
                        return False
            else:
                self.condition.note(self._queue, None)
                self._acknowledge(batch, channel)
                return True
        return False

    def _watched(self, deliveries: list[Delivery]) -> None:
        self._watchdog.begin()
        try:
            self._handle(deliveries)
        finally:
            self._watchdog.end()

    def _tell(self, error: TransientError, batch: int, tries: int) -> None:
        RETRIES.add((self._queue,))
        log.warning("waiting", queue=self._queue, error=str(error), batch=batch, tries=tries)
        if tries > _PASSING_TRIES:
            self.condition.note(self._queue, str(error))

    def _acknowledge(self, batch: Batch, channel: Channel) -> None:
        tags = [one.tag for one in batch.deliveries]

        def ack() -> None:
            # A tag of a lost channel means nothing on the new one; those messages are redelivered and ignored.
            if channel is not self.channel or not channel.is_open:
                return
            if batch.is_oldest:
                channel.basic_ack(tags[-1], multiple=True)
                return
            for tag in tags:
                channel.basic_ack(tag)

        self.call(ack)

    def _await_acknowledged(self, channel: Channel | None) -> None:
        """Return once the broker has our acknowledgements: this message may be our last, and those before it done."""
        settled = threading.Event()

        def ask() -> None:
            if channel is not None and channel is self.channel and channel.is_open:
                channel.basic_qos(prefetch_count=self._prefetch, callback=lambda _frame: settled.set())

        if self.call(ask):
            settled.wait(_SETTLE_S)

    def on_ready(self, channel: Channel) -> None:
        channel.basic_qos(prefetch_count=self._prefetch)
        channel.add_on_cancel_callback(self._cancelled)
        self._tag = None
        self._take_or_rest()

    def _take_or_rest(self) -> None:
        """Consume unless paused, in the connection's thread. What is under way to us then goes back to the broker."""
        channel = self.channel
        if channel is None or not channel.is_open:
            return
        if not self._progress.is_paused:
            if self._tag is None:
                self._tag = channel.basic_consume(
                    self._queue, self._received, callback=lambda _frame: self._consuming()
                )
        else:
            if self._tag is not None:
                channel.basic_cancel(self._tag)
                self._tag = None
            self.works()

    def _consuming(self) -> None:
        connection = self._connection
        if connection is None or not connection.is_open:
            return
        self._leaderless.reset()
        self._idle_since = time.monotonic()
        connection.ioloop.call_later(_IDLE_S, partial(self._consume_anew, self._tag))
        self.works()

    def _consume_anew(self, tag: str | None) -> None:
        """While nothing comes, consume anew every few seconds, for we may be deaf.

        Where a queue was deleted and at once declared again, RabbitMQ 3.10 does not say so. It may count us as a
        consumer of the new queue and hand us messages that get lost on the way to us, so that nothing but a new
        channel helps: the old one gives them back.
        """
        connection = self._connection
        if tag is None or tag != self._tag or self.channel is None or connection is None:
            return
        with self._filled:
            idle_s = 0.0 if self._busy or len(self._buffer) else time.monotonic() - self._idle_since
        if idle_s >= _IDLE_S:
            self.renew_channel()
        else:
            connection.ioloop.call_later(_IDLE_S - idle_s, partial(self._consume_anew, tag))

    def on_lost(self, reason: BaseException | str) -> None:
        with self._filled:
            self._buffer.clear()
            self._filled.notify_all()
        if is_internal(reason):
            self.condition.note(self.name, f"queue {self._queue} cannot be consumed: it may have no leader")

    def before_reconnect(self, reason: BaseException | str) -> None:
        """A queue without a leader is made anew, once that is no passing trouble."""
        if self._leaderless.lost(reason):
            revive(self.parameters, self._queue, self.further)

    def _cancelled(self, _frame: Any) -> None:
        """The queue was deleted under us: connect anew, which declares it again."""
        self.reconnect(f"queue {self._queue} was deleted")

    def _received(self, _channel: Channel, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> None:
        one = delivery(self._queue, method, properties, body)
        with self._filled:
            now = self._idle_since = time.monotonic()
            if self._buffer.add(one, now):
                self._filled.notify()
