"""The claim: jobs for pilots, found by index whatever waits, moved and announced in one transaction."""

import asyncio
import socket
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, LiteralString

from psycopg import AsyncConnection

from panda_fsm.claims import Claim, Filters, Given, GivenBack, Seat
from panda_fsm.descriptions import FileRow, JobDescription
from panda_fsm.effects import Outgoing
from panda_fsm.errors import HeldError, TransientError
from panda_fsm.jobs.deadlines import Kind
from panda_fsm.jobs.facts import Limits, span
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.machine import Step
from panda_fsm.messages import JobEvent, new_message_id
from panda_fsm.steps import step_event
from sql import rows
from sql.pool import Pool
from sql.queries import load
from sql.searches import Search, search
from sql.seats import Asked, SeatMovedError

_Q = load("claims")
_WRITE_OUTBOX, _FORGET_PUBLISHED = load("store")["write_outbox"], load("store")["forget_published"]
_HOST = socket.gethostname()
_ACQUIRED = Step(Trigger.ACQUIRED, State.ACTIVATED, State.SENT)
_UNDELIVERED = Step(Trigger.UNDELIVERED, State.SENT, State.ACTIVATED)
_ROUTING_KEY = step_event(1, 1, _ACQUIRED, "", site="", vo="", task_id=0).routing_key
_ANY = Kind("", 0, has_task=False, has_report=False)
"""All jobs have the same time while they are sent: the claim need not know which they are (a test sees to that)."""
_TOGETHER = 50
"""Seats of the usual claim: each is joined with its job by going through all."""
_TAKE_BACK_AGAIN_S = (0.02, 0.1, 0.5)
_TRIES = 5
"""How often a claim begins anew because its pilots hold something: only who asks twice at once causes more than two."""
_CLAIMED = (
    "job_id", "version", "attempt_nr", "vo", "site", "label", "priority", "task_id", "job_definition_id",
    "jobset_id", "name", "user_name", "core_count", "min_ram", "max_disk", "max_walltime", "resource_type",
)  # fmt: skip


_CLAIM_FRONT: LiteralString = "\n".join((_Q["claim_front"], _Q["front"], _Q["filled"], _Q["step"]))
_CLAIM_PICKED: LiteralString = "\n".join((_Q["claim_picked"], _Q["step"]))


class ClaimStore:
    """The gateway's claims. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits
        self._dry: set[str] = set()
        """Queues where nothing was found at once the last time: the searches look there, and are not kept waiting."""

    async def claim(self, filters: Filters, seats: Sequence[Seat]) -> Claim:
        """Hand out waiting jobs that all fit the same filters."""
        return await self.claim_each([(filters, seats)])

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        """Hand out waiting jobs to each group, best first, one a seat, each to one seat only; committed at return.

        Whoever holds a job without having spoken of it gets the same again. A seat that somebody has in hand keeps no
        other waiting for longer than a lock may take.
        """
        try:
            return await self._claim_each(groups)
        except HeldError:
            held = await self._held_seats([seat for _, seats in groups for seat in seats])
            if not held:
                raise
        free = [(filters, [seat for seat in seats if seat.cause not in held]) for filters, seats in groups]
        groups_left = [(filters, seats) for filters, seats in free if seats]
        claim = await self._claim_each(groups_left) if groups_left else Claim([], [])
        others = iter(claim.jobs)
        claim.jobs = [None if seat.cause in held else next(others) for _, seats in groups for seat in seats]
        claim.held |= held
        return claim

    async def _held_seats(self, seats: Sequence[Seat]) -> frozenset[str]:
        """The causes of those whose places somebody holds."""
        places = [seat.place for seat in seats if seat.place is not None]
        held = {place for (place,) in await self._pool.rows(_Q["held_seats"], places=places)}
        return frozenset(seat.cause for seat in seats if seat.place in held)

    async def _claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        if not _is_usual(groups) or groups[0][0].site in self._dry:
            claim = await self._claim_all(groups)
            if any(job is not None for job in claim.jobs):
                self._dry.discard(groups[0][0].site)
            return claim
        filters, seats = groups[0]
        first, events, doubled = await self._claim_front(filters, seats)
        if not first:
            self._dry.add(filters.site)
        jobs = {one.seat.cause: one.job for one in first}
        left = [seat for seat in seats if seat.cause not in jobs]
        try:
            rest = await self._claim_all([(filters, left)]) if left else Claim([], [])
        except TransientError:
            if not events:
                raise
            # What is committed must reach its pilots, or come back; of the others nothing is known.
            rest = Claim([None] * len(left), [], held=frozenset(seat.cause for seat in left))
        except asyncio.CancelledError:
            await self._take_back([*first, *doubled])
            raise
        others = iter(rest.jobs)
        all_jobs = [jobs[seat.cause] if seat.cause in jobs else next(others) for seat in seats]
        return Claim(all_jobs, [*events, *rest.events], rest.more_waiting, doubled, rest.held)

    async def give_back(self, given: Sequence[Given]) -> GivenBack:
        """Take back what reached nobody, from those who have not asked again."""
        taken = [
            {"place": g.seat.place, "cause": g.seat.cause, "job_id": g.job.job_id, "version": g.job.columns["version"]}
            | self._times(State.ACTIVATED, _kind(g.job))
            | {"stays_s": self._times(State.ACTIVATED, _kind(g.job)._replace(no_reassign=True))["deadline_s"]}
            for g in given
        ]
        parameters = {"rows": rows.as_json(taken), "host": _HOST}
        async with self._pool.connection() as connection, connection.transaction():
            found = await (await connection.execute(_Q["give_back"], parameters)).fetchall()
            events = [
                Outgoing.of(step_event(job_id, version, _UNDELIVERED, cause, site=site, vo=vo, task_id=task_id))
                for job_id, version, cause, site, vo, task_id in found
                if version is not None
            ]
            if events:
                await connection.execute(_WRITE_OUTBOX, {"rows": rows.as_json(rows.outbox(events))})
        return GivenBack(events, frozenset(row[0] for row in found if row[1] is None))

    async def _take_back(self, given: Sequence[Given]) -> None:
        """For a claim that is given up: nobody else gives it back. Its events are left to the relay."""
        for pause in (*_TAKE_BACK_AGAIN_S, None):
            locked = (await self.give_back(given)).locked if given else ()
            given = [one for one in given if one.job.job_id in locked]
            if not given or pause is None:
                return
            await asyncio.sleep(pause)

    async def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed."""
        await self._pool.execute(_FORGET_PUBLISHED, message_ids=list(message_ids))

    async def paused_sites(self) -> frozenset[str]:
        """Queues of sites whose pilots get no jobs now."""
        return frozenset(site for (site,) in await self._pool.rows(_Q["paused_sites"]))

    async def _claim_front(
        self, filters: Filters, seats: Sequence[Seat]
    ) -> tuple[list[Given], list[Outgoing], list[Given]]:
        """The usual claim, in one statement: nobody holds a job, and enough of the first that wait fit.

        What it gives is committed, with its events, and so is what is doubled; who gets nothing from it needs the
        searches. It is not given up half-way: its outcome would not be known.
        """
        asked = [_asked(number, seat) for number, seat in enumerate(seats)]
        parameters = Search(filters, seats).parameters() | self._step() | {"rows": rows.as_json(asked)}
        claiming = asyncio.ensure_future(self._pool.rows(_CLAIM_FRONT, **parameters))
        try:
            found = await asyncio.shield(claiming)
        except asyncio.CancelledError:
            given, doubled = _split(seats, await claiming)
            await self._take_back([*given, *doubled])
            raise
        given, doubled = _split(seats, found)
        return given, [*map(_event, found)], doubled

    async def _claim_all(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        """All searches that are needed, and what pilots hold already."""
        asked = Asked.of(groups)
        for _ in range(_TRIES):
            try:
                return await self._claim(groups, asked)
            except SeatMovedError as moved:
                asked.begin_anew(moved.held)
        raise TransientError("the pilots of these places ask again and again")

    async def _claim(self, groups: Sequence[tuple[Filters, Sequence[Seat]]], asked: Asked) -> Claim:
        searches = [Search(filters, asked.of_group(number)) for number, (filters, _) in enumerate(groups)]
        claim = Claim([], [])
        given: list[Given] = []
        try:
            # What needs no answer goes with what does: three round trips instead of six.
            async with self._pool.connection() as connection, connection.pipeline(), connection.transaction():
                await search(connection, searches, asked)
                await _give_again(connection, asked)
                given += await self._take(connection, searches, asked, claim)
        except asyncio.CancelledError:
            await self._take_back(given)  # nobody waits any more, but it may be committed
            raise
        answers = {one.seat.cause: one.job for one in (*given, *asked.again)}
        claim.jobs = [answers.get(asked.spokesman(seat).cause) for _, seats in groups for seat in seats]
        claim.more_waiting = {search.filters for search in searches if search.missed and search.wanted}
        return claim

    async def _take(
        self, connection: AsyncConnection[Any], searches: Sequence[Search], asked: Asked, claim: Claim
    ) -> list[Given]:
        """Make the step of what was found; its events go to the claim and to the outbox."""
        seats = [seat for search in searches for seat in search.seats[: len(search.job_ids)]]
        job_ids = [job_id for search in searches for job_id in search.job_ids]
        if not job_ids:
            return []
        taken = [
            _asked(number, seat) | {"job_id": job_id} | asked.seen_of(seat)
            for number, (job_id, seat) in enumerate(zip(job_ids, seats, strict=True))
        ]
        parameters = self._step() | {"rows": rows.as_json(taken)}
        found = await (await connection.execute(_CLAIM_PICKED, parameters)).fetchall()
        if not all(row[-1] for row in found):
            raise SeatMovedError({})
        claim.events = [_event(row) for row in found]
        return [Given(seats[row[0]], _description(row)) for row in found]

    def _step(self) -> dict[str, Any]:
        """What `step` needs beside the jobs: times, and an event without what differs from job to job."""
        event = step_event(1, 1, _ACQUIRED, "", site="", vo="", task_id=0).encode().decode()
        parameters = {"exchange": JobEvent.exchange, "routing_key": _ROUTING_KEY, "event": event, "host": _HOST}
        return parameters | self._times(State.SENT, _ANY)

    def _times(self, state: State, kind: Kind) -> dict[str, float]:
        times = span(self._limits, state, kind, 0)
        return {"deadline_s": times.deadline_s, "look_s": times.look_s}


def _split(seats: Sequence[Seat], found: Sequence[Sequence[Any]]) -> tuple[list[Given], list[Given]]:
    """Of rows of `claim_front` what is given, and what is too many: whose place was taken meanwhile was given a job by
    somebody else at the same time, and that one is for him."""
    given = [Given(seats[row[0]], _description(row)) for row in found if row[-1]]
    return given, [Given(replace(seats[row[0]], place=None), _description(row)) for row in found if not row[-1]]


async def _give_again(connection: AsyncConnection[Any], asked: Asked) -> None:
    """The same jobs again for those who hold one without having spoken of it."""
    if not asked.held:
        return
    seats = [asked.last[place] for place in asked.held]
    wanted = [
        {"number": n, "place": place, "job_id": job_id, "version": version}
        for n, (place, (job_id, version)) in enumerate(asked.held.items())
    ]
    found = await (await connection.execute(_Q["give_again"], {"rows": rows.as_json(wanted)})).fetchall()
    if len(found) != len(seats):
        raise SeatMovedError({})
    asked.again = [Given(seats[row[0]], _description(row)) for row in found]


def _description(row: Sequence[Any]) -> JobDescription:
    """A row of `claim` or `give_again`: number, columns, specification, files."""
    columns = dict(zip(_CLAIMED, row[1:], strict=False))
    spec, files = row[1 + len(_CLAIMED) : 3 + len(_CLAIMED)]
    return JobDescription(row[1], columns, spec, [FileRow(*file) for file in files])


def _kind(job: JobDescription) -> Kind:
    """Of a job that was claimed, as far as that is told with it."""
    told = job.columns
    return Kind.of(told["label"], told["priority"], told["task_id"], job.spec.get("processing_type"))


def _is_usual(groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> bool:
    """Not too many pilots that are alike, ask for no task or user and not for the background, and each for itself."""
    if len(groups) != 1:
        return False
    filters, seats = groups[0]
    if len(seats) > _TOGETHER:
        return False
    places = [seat.place for seat in seats if seat.place is not None]
    is_narrow = filters.task_id is not None or filters.user_name is not None or filters.background
    return not is_narrow and len(set(places)) == len(places)


def _asked(number: int, seat: Seat) -> dict[str, Any]:
    """A seat as `step` needs it; the event that it may come to has its id already."""
    return {
        "number": number, "cause": seat.cause, "holder": seat.holder, "node": seat.node, "pilot": seat.pilot,
        "place": seat.place, "event_id": new_message_id(),
    }  # fmt: skip


def _event(row: Sequence[Any]) -> Outgoing:
    """The event in a row of `step`, as it stands in the outbox."""
    message_id, body = row[-3:-1]
    return Outgoing(message_id, JobEvent.exchange, _ROUTING_KEY, body.encode())
