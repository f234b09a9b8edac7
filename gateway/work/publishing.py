"""Publishes behind the answer, within bounds: what does not leave from here is sent from the database."""

import asyncio
import time
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

import structlog

from gateway.ports import Publisher
from gateway.work.coalesce import Coalescer
from panda_fsm.effects import Outgoing
from panda_fsm.errors import PandaError, TransientError
from panda_fsm.figures import CONFIRMS, LEFT, PUBLISHED
from panda_fsm.spans import note
from panda_fsm.tracing import TRACING

log = structlog.get_logger()

_MOST_MESSAGES = 10_000
_MOST_BYTES = 64 * 1024 * 1024
_LEFT_TOGETHER = 1000
_OURS = ("gateway",)
_CONFIRMED, _UNKNOWN = ("gateway", "confirmed"), ("gateway", "unknown")

Then = Callable[[Sequence[Outgoing]], Awaitable[None]]
Leave = Callable[[Sequence[str]], Awaitable[None]]
"""Says which messages nobody publishes any more, so that the relay need not wait to see whether somebody does."""


class Publishing:
    """Messages on their way to the broker. Who hands one over waits for nothing and hears of no trouble."""

    def __init__(self, publisher: Publisher, leave: Leave) -> None:
        self._publisher = publisher
        self._leave = leave
        self._given_up: Coalescer[str, None] = Coalescer(self._leave_all, _LEFT_TOGETHER)
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages = 0
        self._bytes = 0
        self._left = 0
        CONFIRMS.watch(self, lambda its: its._messages, _OURS)

    def publish(self, messages: Sequence[Outgoing], then: Then | None = None) -> None:
        """Publish in order; `then` is told which of them the broker confirmed."""
        if not messages:
            return
        taken = [message for message in messages if self._enter(message)]
        # No part of the request that began it: that may be given up.
        task = asyncio.create_task(self._publish(messages, taken, then), context=Context())
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def drain(self) -> None:
        """Wait until everything is confirmed, and what follows is done, or left to the relay."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _enter(self, message: Outgoing) -> bool:
        """False while too much is on its way already: this one is left."""
        if self._messages >= _MOST_MESSAGES or self._bytes >= _MOST_BYTES:
            self._left += 1
            return False
        if self._left:
            log.warning("left_to_the_relay", messages=self._left)
            self._left = 0
        self._messages += 1
        self._bytes += len(message.body)
        return True

    async def _publish(self, messages: Sequence[Outgoing], taken: Sequence[Outgoing], then: Then | None) -> None:
        began_ns = time.time_ns()
        if len(taken) == 1:  # nearly always: spared a task
            answers = [await self._publish_one(taken[0])]
        else:
            answers = await asyncio.gather(*(self._publish_one(message) for message in taken))
        confirmed = [message for message, is_confirmed in zip(taken, answers, strict=True) if is_confirmed]
        if confirmed:
            PUBLISHED.add(_CONFIRMED, len(confirmed))
        if TRACING.tracer is not None:
            note(taken, {message.message_id for message in confirmed}, "gateway", began_ns)
        if then is not None and confirmed:
            await then(confirmed)
        if len(confirmed) < len(messages):
            PUBLISHED.add(_UNKNOWN, len(taken) - len(confirmed))
            LEFT.add(_OURS, len(messages) - len(confirmed))
            there = {message.message_id for message in confirmed}
            await self._give_up([one.message_id for one in messages if one.message_id not in there])

    async def _give_up(self, message_ids: Sequence[str]) -> None:
        try:
            await asyncio.gather(*(self._given_up.ask(message_id) for message_id in message_ids))
        except TransientError:
            return  # the relay sees by their age that nobody has published them

    async def _leave_all(self, message_ids: Sequence[str]) -> list[None]:
        await self._leave(message_ids)
        return [None] * len(message_ids)

    async def _publish_one(self, message: Outgoing) -> bool:
        try:
            await self._publisher.publish(message)
        except PandaError:
            return False  # the publisher logs what is wrong with the broker
        finally:
            self._messages -= 1
            self._bytes -= len(message.body)
        return True
