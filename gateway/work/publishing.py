"""Publishes behind the answer, within bounds: what does not leave from here is sent again from the database."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context

import structlog

from gateway.ports import Publisher
from panda_fsm.effects import Outgoing
from panda_fsm.errors import PandaError

log = structlog.get_logger()

_MOST_MESSAGES = 10_000
_MOST_BYTES = 64 * 1024 * 1024

Then = Callable[[Sequence[Outgoing]], Awaitable[None]]


class Publishing:
    """Messages on their way to the broker. Who hands one over waits for nothing and hears of no trouble."""

    def __init__(self, publisher: Publisher) -> None:
        self._publisher = publisher
        self._tasks: set[asyncio.Task[None]] = set()
        self._messages = 0
        self._bytes = 0
        self._left = 0

    def publish(self, messages: Sequence[Outgoing], then: Then | None = None) -> None:
        """Publish in order; `then` is told which of them the broker confirmed."""
        taken = [message for message in messages if self._enter(message)]
        if taken:
            # No part of the request that began it: that may be given up.
            task = asyncio.create_task(self._publish(taken, then), context=Context())
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

    async def _publish(self, messages: Sequence[Outgoing], then: Then | None) -> None:
        if len(messages) == 1:  # nearly always: spared a task
            answers = [await self._publish_one(messages[0])]
        else:
            answers = await asyncio.gather(*(self._publish_one(message) for message in messages))
        if then is not None:
            await then([message for message, confirmed in zip(messages, answers, strict=True) if confirmed])

    async def _publish_one(self, message: Outgoing) -> bool:
        try:
            await self._publisher.publish(message)
        except PandaError:
            return False  # the publisher logs what is wrong with the broker
        finally:
            self._messages -= 1
            self._bytes -= len(message.body)
        return True
