"""Hands jobs to pilots: concurrent requests of one site share one claim."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass

import structlog

from gateway.ports import ClaimStore
from gateway.work.coalesce import Coalescer, Lanes
from gateway.work.publishing import Publishing
from panda_fsm.claims import Filters, Seat
from panda_fsm.descriptions import JobDescription
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError

log = structlog.get_logger()

_MAX_REQUESTS = 50
_RETRIES_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Waiting jobs may be locked for a moment by others; a pilot is told "no jobs" only when none matches."""


@dataclass(frozen=True, slots=True)
class _Request:
    filters: Filters
    seats: tuple[Seat, ...]


Place = tuple[int, Filters, Seat]
"""A seat that waits for a job, with the number of its request."""


class Claims:
    """Claims jobs, and publishes the events of committed claims behind the answer."""

    def __init__(self, store: ClaimStore, publishing: Publishing) -> None:
        self._store = store
        self._publishing = publishing
        self._lanes: Lanes[str, _Request, list[JobDescription]] = Lanes(self._claim, _MAX_REQUESTS)
        self._published: Coalescer[str, None] = Coalescer(self._forget, 1000)

    async def acquire(self, filters: Filters, seats: Sequence[Seat]) -> list[JobDescription]:
        """At most one job a seat, best first; none only if no waiting job matches."""
        return await self._lanes.ask(filters.site, _Request(filters, tuple(seats)))

    async def _claim(self, _site: str, requests: Sequence[_Request]) -> list[list[JobDescription]]:
        """One claim for the requests of a site; what is only locked for a moment is tried again."""
        given: list[list[JobDescription]] = [[] for _ in requests]
        places = [(number, r.filters, seat) for number, r in enumerate(requests) for seat in r.seats]
        for pause in (*_RETRIES_S, None):
            places = await self._fill(places, given)
            if not places or pause is None:
                break
            await asyncio.sleep(pause)
        return given

    async def _fill(self, places: list[Place], given: list[list[JobDescription]]) -> list[Place]:
        """Returns the places that stayed empty although a job that fits is there."""
        groups: dict[Filters, list[Place]] = {}
        for place in places:
            groups.setdefault(place[1], []).append(place)
        ordered = [place for group in groups.values() for place in group]
        try:
            claim = await self._store.claim_each([(f, [seat for _, _, seat in group]) for f, group in groups.items()])
        except TransientError:
            if any(given):
                return []  # these are committed and must reach their pilots
            raise
        self._publishing.publish(claim.events, self._forget_confirmed)
        for (number, _, _), job in zip(ordered, claim.jobs, strict=True):
            if job is not None:
                given[number].append(job)
        empty = [place for place, job in zip(ordered, claim.jobs, strict=True) if job is None]
        return [place for place in empty if place[1] in claim.more_waiting]

    async def _forget_confirmed(self, events: Sequence[Outgoing]) -> None:
        """What was not confirmed stays in the outbox for the relay."""
        try:
            await asyncio.gather(*(self._published.ask(event.message_id) for event in events))
        except TransientError as error:
            log.warning("events_not_forgotten", error=str(error), events=len(events))

    async def _forget(self, message_ids: Sequence[str]) -> list[None]:
        await self._store.forget_published(message_ids)
        return [None] * len(message_ids)
