"""Hands jobs to pilots: concurrent requests of one site share one claim."""

import asyncio
from collections.abc import Sequence
from contextvars import Context
from dataclasses import dataclass, field

import structlog

from gateway.ports import ClaimStore
from gateway.work.coalesce import Coalescer, Lanes
from gateway.work.publishing import Publishing
from gateway.work.waiting import CURRENT
from panda_fsm.claims import Filters, Given, Seat
from panda_fsm.descriptions import JobDescription
from panda_fsm.effects import Outgoing
from panda_fsm.errors import HeldError, TransientError
from panda_fsm.figures import TRANSITIONS
from panda_fsm.log_ids import few
from panda_fsm.messages import decode
from panda_fsm.tracing import TRACING

log = structlog.get_logger()

_MAX_REQUESTS = 50
_RETRIES_S = (0.005, 0.01, 0.02, 0.04, 0.08, 0.16, 0.32)
"""Waiting jobs may be locked for a moment by others; a pilot is told "no jobs" only when none matches."""
_FORGET_AFTER_S = 0.2
"""Well before the relay takes what is confirmed for something that nobody has sent."""
_GIVE_BACK_AGAIN_S = (0.02, 0.1, 1.0, 5.0)
_CLAIMED, _GIVEN_BACK = ("activated", "sent", "gateway"), ("sent", "activated", "gateway")


@dataclass(slots=True, eq=False)
class _Request:
    filters: Filters
    seats: tuple[Seat, ...]
    given: list[Given] = field(default_factory=list)
    is_answered: bool = False
    has_gone: bool = False
    is_held: bool = False
    headers: dict[str, str] | None = None
    """Of what it leads to, where it is traced."""


Place = tuple[_Request, Seat]
"""A seat that waits for a job, with its request."""


class Claims:
    """Claims jobs, and publishes the events of committed claims behind the answer.

    What was claimed for somebody who has gone meanwhile is given back at once.
    """

    def __init__(self, store: ClaimStore, publishing: Publishing, log_steps: bool = False) -> None:
        """`log_steps`: each step is a line of the log."""
        self._store = store
        self._log_steps = log_steps
        self._publishing = publishing
        self._lanes: Lanes[str, _Request, list[JobDescription]] = Lanes(self._claim, _MAX_REQUESTS)
        self._published: Coalescer[str, None] = Coalescer(self._forget, 1000, gather_s=_FORGET_AFTER_S)
        self._undelivered: Coalescer[Given, None] = Coalescer(self._give_back, 1000)
        self._under_way: set[asyncio.Future[None]] = set()

    async def acquire(self, filters: Filters, seats: Sequence[Seat]) -> list[JobDescription]:
        """At most one job a seat, best first; none only if no waiting job matches."""
        request = _Request(filters, tuple(seats), headers=TRACING.headers())
        try:
            jobs = await self._lanes.ask(filters.site, request)
        except asyncio.CancelledError:
            self._has_gone(request)
            raise
        waiting = CURRENT.get()
        if waiting is not None and waiting.has_hung_up:
            self._has_gone(request)
            return []
        return jobs

    async def drain(self) -> None:
        """Wait until no claim is under way and what nobody took is given back."""
        while self._under_way:
            await asyncio.wait(self._under_way)

    def _has_gone(self, request: _Request) -> None:
        """Nobody reads its answer. If its claim is under way, that looks whether anybody is still there."""
        request.has_gone = True
        if request.is_answered:
            self._return(request.given)

    async def _claim(self, _site: str, requests: Sequence[_Request]) -> list[list[JobDescription] | Exception]:
        """One claim for the requests of a site; what is only locked for a moment is tried again."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._under_way.add(ended)
        try:
            await self._fill_all(requests)
        except BaseException:
            for request in requests:
                request.has_gone = True  # whoever is there still will be told that nothing was decided
            raise
        finally:
            for request in requests:
                request.is_answered = True
                if request.has_gone:
                    self._return(request.given)
            ended.set_result(None)
            self._under_way.discard(ended)
        return [_answer(request) for request in requests]

    async def _fill_all(self, requests: Sequence[_Request]) -> None:
        places = [(request, seat) for request in requests for seat in request.seats]
        for pause in (*_RETRIES_S, None):
            try:
                places = await self._fill([place for place in places if not place[0].has_gone])
            except TransientError:
                if not any(request.given for request in requests):
                    raise
                for request, _seat in places:  # what others were given is committed and must reach their pilots
                    request.is_held = True
                return
            if not places or pause is None:
                return
            await asyncio.sleep(pause)

    async def _fill(self, places: list[Place]) -> list[Place]:
        """Returns the places that stayed empty although a job that fits is there."""
        groups: dict[Filters, list[Place]] = {}
        for place in places:
            groups.setdefault(place[0].filters, []).append(place)
        ordered = [place for group in groups.values() for place in group]
        claim = await self._store.claim_each([(f, [seat for _, seat in group]) for f, group in groups.items()])
        TRANSITIONS.add(_CLAIMED, len(claim.events))
        if TRACING.tracer is not None:
            _trace(claim.events, places)
        self._publishing.publish(claim.events, self._forget_confirmed)
        self._return(claim.doubled)
        for (request, seat), job in zip(ordered, claim.jobs, strict=True):
            if job is not None:
                request.given.append(Given(seat, job))
                self._note(_CLAIMED, request.given[-1])
        empty = [place for place, job in zip(ordered, claim.jobs, strict=True) if job is None]
        for request, seat in empty:
            request.is_held = request.is_held or seat.cause in claim.held
        return [place for place in empty if place[0].filters in claim.more_waiting and place[1].cause not in claim.held]

    def _return(self, given: Sequence[Given]) -> None:
        """Give back behind everything else: whoever was to have it has gone."""
        if given:
            task = asyncio.create_task(self._return_all(tuple(given)), context=Context())
            self._under_way.add(task)
            task.add_done_callback(self._under_way.discard)

    async def _return_all(self, given: Sequence[Given]) -> None:
        """What cannot be given back stays with its seat, until its pilot asks again or its deadline comes."""
        for pause in (*_GIVE_BACK_AGAIN_S, None):
            outcomes = await asyncio.gather(*map(self._undelivered.ask, given), return_exceptions=True)
            errors = [outcome for outcome in outcomes if outcome is not None]
            given = [one for one, outcome in zip(given, outcomes, strict=True) if outcome is not None]
            if not given:
                return
            if pause is None or not all(isinstance(error, TransientError) for error in errors):
                log.warning("jobs_not_given_back", error=str(errors[0]), job_ids=[one.job.job_id for one in given])
                return
            await asyncio.sleep(pause)

    async def _give_back(self, given: Sequence[Given]) -> list[Exception | None]:
        back = await self._store.give_back(given)
        TRANSITIONS.add(_GIVEN_BACK, len(back.events))
        for one in given:
            if one.job.job_id not in back.locked:
                self._note(_GIVEN_BACK, one)
        self._publishing.publish(back.events, self._forget_confirmed)
        job_ids = few(one.job.job_id for one in given)
        log.info("jobs_given_back", jobs=len(back.events), asked=len(given), locked=len(back.locked), job_ids=job_ids)
        held = TransientError("somebody looks at it")
        return [held if one.job.job_id in back.locked else None for one in given]

    def _note(self, step: tuple[str, str, str], given: Given) -> None:
        if self._log_steps:
            source, destination, _ = step
            said = {"from": source, "to": destination, "version": given.job.columns["version"]}
            log.info("step", job_id=given.job.job_id, message_id=given.seat.cause, **said)

    async def _forget_confirmed(self, events: Sequence[Outgoing]) -> None:
        """What was not confirmed stays in the outbox for the relay."""
        try:
            await asyncio.gather(*(self._published.ask(event.message_id) for event in events))
        except TransientError as error:
            log.warning("events_not_forgotten", error=str(error), events=len(events))

    async def _forget(self, message_ids: Sequence[str]) -> list[None]:
        await self._store.forget_published(message_ids)
        return [None] * len(message_ids)


def _trace(events: Sequence[Outgoing], places: Sequence[Place]) -> None:
    """What a claim leads to belongs to the request that it was for. The outbox has the events without that."""
    headers = {seat.cause: request.headers for request, seat in places}
    for event in events:
        event.headers = headers.get(decode(event.body).cause or "")


def _answer(request: _Request) -> list[JobDescription] | Exception:
    """What it is given; to say that there is nothing for it would be wrong where that is not known."""
    if request.is_held and not request.given:
        return HeldError("nobody can say just now whether there is a job for this pilot")
    return [given.job for given in request.given]
