"""The gateway's store inside a test: a scene with an open one, and claims as a gateway makes them."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from lab.site import QUEUE
from panda_fsm.claims import Filters, Given, Seat
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError
from panda_fsm.jobs.facts import Limits, TableLimits
from panda_fsm.messages import new_message_id
from sql.gateway_store import GatewayStore

Answer = TypeVar("Answer")


class Silent:
    """A broker that is away: events stay in the outbox."""

    is_connected = is_blocked = False
    trouble = "away"

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, message: Outgoing) -> None:
        raise NotPublishedError("away")


def seat(holder: str = "iss|pilot", **pilot: Any) -> Seat:
    """A place for one job."""
    return Seat(new_message_id(), holder, "node-1", pilot)


def seated(place: str | None, node: str = "node-1") -> Seat:
    """A seat of the pilot of this place."""
    return Seat(new_message_id(), "iss|pilot", node, {}, place)


async def acquire(store: GatewayStore, *seats: Seat, **filters: Any) -> list[int | None]:
    """The ids that one claim gives; what it gives back comes back, though somebody looks at it in that moment."""
    claim = await store.claims.claim(Filters(QUEUE, **filters), seats)
    while claim.doubled:
        locked = (await store.claims.give_back(claim.doubled)).locked
        claim.doubled = [one for one in claim.doubled if one.job.job_id in locked]
    return [None if job is None else job.job_id for job in claim.jobs]


async def given(store: GatewayStore, one: Seat) -> Given:
    """A job that is given to this seat."""
    (job,) = (await store.claims.claim(Filters(QUEUE), [one])).jobs
    assert job is not None
    return Given(one, job)


def with_store(
    database_url: str,
    scene: Callable[[GatewayStore], Awaitable[Answer]],
    limits: Limits | None = None,
    connections: int = 8,
) -> Answer:
    """Play a scene with a store that is open."""

    async def play() -> Answer:
        store = GatewayStore(database_url, connections, 20, limits or TableLimits({}, {}))
        await store.open()
        try:
            return await scene(store)
        finally:
            await store.close()

    return asyncio.run(play())


def claimed(database_url: str, wanted: int = 1, **filters: Any) -> list[int]:
    """The ids that one claim gives."""

    async def scene(store: GatewayStore) -> list[int]:
        claim = await store.claims.claim(Filters(QUEUE, **filters), [seat() for _ in range(wanted)])
        return [job.job_id for job in claim.jobs if job is not None]

    return with_store(database_url, scene)
