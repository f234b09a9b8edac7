"""Sends what the outside asks: kept in the database first, then confirmed by the broker, then answered."""

import asyncio
from collections.abc import Sequence

import structlog

from gateway.work.coalesce import Coalescer
from gateway.ports import Publisher, Store
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError
from panda_fsm.messages import Message, PilotReport, SubmitJobs

log = structlog.get_logger()

_MAX_KEPT_TOGETHER = 200


class Requests:
    """An emptied broker loses no request: until its service has handled it, the database has a copy."""

    def __init__(self, store: Store, publisher: Publisher) -> None:
        self._store = store
        self._publisher = publisher
        self._kept: Coalescer[Outgoing, None] = Coalescer(self._keep, _MAX_KEPT_TOGETHER)

    async def send(self, messages: Sequence[Message]) -> None:
        """Returns when all are accepted. Raises TransientError: some may be, and repeating them is safe.

        Repeating a submission is not safe, for it would get new PandaIDs. What the broker did not confirm of one goes
        to the outbox instead: the relay publishes it, and the Setupper takes each message once.
        """
        outgoing = [Outgoing.of(message) for message in messages]
        # The next heartbeat makes up for a lost one.
        kept = [o for o, m in zip(outgoing, messages, strict=True) if not (isinstance(m, PilotReport) and m.heartbeat)]
        await asyncio.gather(*(self._kept.ask(message) for message in kept))
        answers = await asyncio.gather(*(self._publisher.publish(one) for one in outgoing), return_exceptions=True)
        failed = [answer for answer in answers if answer is not None]
        if failed and all(isinstance(message, SubmitJobs) for message in messages):
            await self._store.hand_to_relay(outgoing)
        elif failed:
            await self._take_back([message.message_id for message in kept])
            raise failed[0]

    async def _keep(self, messages: Sequence[Outgoing]) -> list[None]:
        await self._store.keep_requests(messages)
        return [None] * len(messages)

    async def _take_back(self, message_ids: list[str]) -> None:
        """Who was told that a request failed must not find it done after a replay."""
        try:
            await self._store.forget_requests(message_ids)
        except TransientError as error:
            log.warning("requests_not_taken_back", error=str(error), message_ids=message_ids)
