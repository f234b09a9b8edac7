"""The way in without HTTP: claims as the gateway makes them, and what users and pilots say."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from types import TracebackType

from bench.plant import BenchError, Plant
from broker.publish import BrokerPublisher
from lab.site import QUEUE
from panda_fsm.claims import Claim, Filters, Seat
from panda_fsm.effects import Outgoing
from panda_fsm.messages import new_message_id
from sql.claims import ClaimStore
from sql.pool import Pool

SEATS = 200
_CONFIRM_S = 30.0
_STATEMENT_S = 30.0


class Claimant:
    """The gateway's claims, on connections of our own."""

    def __init__(self, plant: Plant, connections: int) -> None:
        self._pool = Pool(plant.database_url, "gateway", connections, _STATEMENT_S)
        self._store = ClaimStore(self._pool, plant.settings.limits())

    async def open(self) -> None:
        await self._pool.open()

    async def close(self) -> None:
        await self._pool.close()

    async def claim(self, seats: int) -> Claim:
        """Take up to so many of the users' jobs that wait at the queue, whatever they need."""
        places = [Seat(new_message_id(), "bench|pilot", "wn042.bench", {}) for _ in range(seats)]
        return await self._store.claim(Filters(site=QUEUE, labels=("user",)), places)

    async def forget(self, events: Sequence[Outgoing]) -> None:
        """The broker has them."""
        await self._store.forget_published([event.message_id for event in events])


class Traffic:
    """All users and pilots of a measure: `farms` claims may be under way at a time."""

    def __init__(self, plant: Plant, farms: int) -> None:
        self._claimant = Claimant(plant, farms)
        self._publisher = BrokerPublisher(plant.broker_url, "bench")

    async def __aenter__(self) -> Traffic:
        self._publisher.start()
        await self._claimant.open()
        await asyncio.to_thread(self._publisher.ready.wait, _CONFIRM_S)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._claimant.close()
        await asyncio.to_thread(self._publisher.stop)

    async def publish(self, messages: Sequence[Outgoing]) -> None:
        """Returns when the broker has confirmed all."""
        published = await asyncio.to_thread(self._publisher.publish, messages, _CONFIRM_S)
        if len(published.confirmed) < len(messages):
            raise BenchError(f"the broker confirmed {len(published.confirmed)} of {len(messages)} messages")

    async def live(self, reports: Callable[[Sequence[int]], Sequence[Outgoing]]) -> int:
        """Be the pilots of all jobs that wait, `SEATS` at most: claim, and report at once; returns how many."""
        claim = await self._claimant.claim(SEATS)
        taken = [job.job_id for job in claim.jobs if job is not None]
        if taken:
            await self.publish([*claim.events, *reports(taken)])
            await self._claimant.forget(claim.events)
        return len(taken)
