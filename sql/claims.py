"""The claim: jobs for pilots, found by index whatever waits, moved and announced in one transaction."""

import asyncio
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, LiteralString

from psycopg import AsyncConnection

from panda_fsm.claims import Claim, Filters, Given, Seat
from panda_fsm.descriptions import FileRow, JobDescription
from panda_fsm.effects import Outgoing, step_event
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import Limits, look_s
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.machine import Step
from sql import rows
from sql.pool import Pool
from sql.queries import load
from sql.seats import Asked, SeatMovedError

_Q = load("claims")
_WRITE_OUTBOX, _FORGET_PUBLISHED = load("store")["write_outbox"], load("store")["forget_published"]
_HOST = socket.gethostname()
_FRONT = 1000
"""Jobs in the order of dispatch among which the usual search looks."""
_CLASSES = 200
"""Classes of waiting jobs that the second search visits at most: two milliseconds."""
_SPARE = 100
"""So many of the best jobs may be locked by others before the second search gives way to the one that reads all."""
_NO_LIMIT = 2**31 - 1
_LIMITS = ("memory", "disk", "remaining_time", "core_count")
_ACQUIRED = Step(Trigger.ACQUIRED, State.ACTIVATED, State.SENT)
_UNDELIVERED = Step(Trigger.UNDELIVERED, State.SENT, State.ACTIVATED)
_TRIES = 5
"""How often a claim begins anew because its pilots hold something: only who asks twice at once causes more than two."""
_CLAIMED = (
    "job_id", "version", "attempt_nr", "vo", "site", "label", "priority", "task_id", "job_definition_id",
    "jobset_id", "name", "user_name", "core_count", "min_ram", "max_disk", "max_walltime", "resource_type",
)  # fmt: skip


_SEARCHES = ("pick_front", "look_behind", "pick_classes", "pick_all")
_SITE: LiteralString = "w.site = %(site)s"
_TASK: LiteralString = "w.site || '/' || w.task_id::text = %(site)s::text || '/' || %(task_id)s::bigint::text"
_USER: LiteralString = "w.site || '/' || w.user_name = %(site)s::text || '/' || %(user_name)s::text"
_TASK_AND_USER: LiteralString = f"{_TASK} AND w.user_name = %(user_name)s"


def _below(leading: LiteralString) -> dict[str, LiteralString]:
    """The searches for pilots that ask for one task or user, led by an index of its own.

    Below it there is no order of dispatch, but the classes are few: no look at the front.
    """
    return {name: _Q[name].replace(_SITE, leading) for name in _SEARCHES[2:]}


_QUERIES: Mapping[tuple[bool, bool], Mapping[str, LiteralString]] = {
    (False, False): {name: _Q[name] for name in _SEARCHES},
    (True, False): _below(_TASK),
    (False, True): _below(_USER),
    (True, True): _below(_TASK_AND_USER),
}


@dataclass(slots=True)
class _Search:
    """One group of equal seats: what was found for it so far, and what is known of the rest."""

    filters: Filters
    seats: Sequence[Seat] = ()
    job_ids: list[int] = field(default_factory=list)
    unseen: bool = True
    missed: bool = False

    @property
    def wanted(self) -> int:
        return len(self.seats) - len(self.job_ids)

    @property
    def queries(self) -> Mapping[str, LiteralString]:
        f = self.filters
        return _QUERIES[f.task_id is not None, f.user_name is not None]

    def needs(self, name: str) -> bool:
        """Whether this search is to be made."""
        return name in self.queries and self.unseen and self.wanted > 0

    def parameters(self) -> dict[str, Any]:
        f = self.filters
        limits = {name: min(_NO_LIMIT, _NO_LIMIT if (v := getattr(f, name)) is None else v) for name in _LIMITS}
        return limits | {
            "site": f.site, "labels": None if f.labels is None else list(f.labels), "resource_type": f.resource_type,
            "task_id": f.task_id, "user_name": f.user_name, "wanted": self.wanted,
            "front": _FRONT + 2 * self.wanted, "classes": _CLASSES, "candidates": self.wanted + _SPARE,
        }  # fmt: skip


class ClaimStore:
    """The gateway's claims. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool, limits: Limits) -> None:
        self._pool = pool
        self._limits = limits

    async def claim(self, filters: Filters, seats: Sequence[Seat]) -> Claim:
        """Hand out waiting jobs that all fit the same filters."""
        return await self.claim_each([(filters, seats)])

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        """Hand out waiting jobs to each group, best first, one a seat, each to one seat only; committed at return.

        Whoever holds a job without having spoken of it gets the same again.
        """
        asked = Asked.of(groups)
        for _ in range(_TRIES):
            try:
                return await self._claim(groups, asked)
            except SeatMovedError as moved:
                asked.begin_anew(moved.held)
        raise TransientError("the pilots of these places ask again and again")

    async def give_back(self, given: Sequence[Given]) -> list[Outgoing]:
        """Take back what reached nobody, from those who have not asked again; the events of what waits again."""
        taken = [
            {"place": g.seat.place, "cause": g.seat.cause, "job_id": g.job.job_id, "version": g.job.columns["version"]}
            for g in given
        ]
        parameters = self._times(State.ACTIVATED) | {"rows": rows.as_json(taken)}
        async with self._pool.connection() as connection, connection.transaction():
            cursor = await connection.execute(_Q["give_back"], parameters)
            events = [
                Outgoing.of(step_event(job_id, version, _UNDELIVERED, cause, site=site, vo=vo, task_id=task_id))
                for job_id, version, cause, site, vo, task_id in await cursor.fetchall()
            ]
            if events:
                await connection.execute(_WRITE_OUTBOX, {"rows": rows.as_json(rows.outbox(events))})
        return events

    async def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed."""
        await self._pool.execute(_FORGET_PUBLISHED, message_ids=list(message_ids))

    async def _claim(self, groups: Sequence[tuple[Filters, Sequence[Seat]]], asked: Asked) -> Claim:
        searches = [_Search(filters, asked.of_group(number)) for number, (filters, _) in enumerate(groups)]
        claim = Claim([], [])
        given: list[Given] = []
        try:
            # What needs no answer goes with what does: three round trips instead of six.
            async with self._pool.connection() as connection, connection.pipeline(), connection.transaction():
                await _search(connection, searches, asked)
                await _give_again(connection, asked)
                given += await self._take(connection, searches, asked, claim)
        except asyncio.CancelledError:
            if given:  # nobody waits any more, but it may be committed
                await self.give_back(given)
            raise
        answers = {one.seat.cause: one.job for one in (*given, *asked.again)}
        claim.jobs = [answers.get(asked.spokesman(seat).cause) for _, seats in groups for seat in seats]
        claim.more_waiting = {search.filters for search in searches if search.missed and search.wanted}
        return claim

    async def _take(
        self, connection: AsyncConnection[Any], searches: Sequence[_Search], asked: Asked, claim: Claim
    ) -> list[Given]:
        """Make the step of what was found; its events go to the claim and to the outbox."""
        seats = [seat for search in searches for seat in search.seats[: len(search.job_ids)]]
        job_ids = [job_id for search in searches for job_id in search.job_ids]
        if not job_ids:
            return []
        taken = [
            {"job_id": job_id, "cause": s.cause, "holder": s.holder, "node": s.node, "pilot": s.pilot, "number": n}
            | asked.seen_of(s)
            for n, (job_id, s) in enumerate(zip(job_ids, seats, strict=True))
        ]
        parameters = self._times(State.SENT) | {"rows": rows.as_json(taken)}
        found = await (await connection.execute(_Q["claim"], parameters)).fetchall()
        if found and found[0][-1] != sum(seat.place is not None for seat in seats):
            raise SeatMovedError({})
        given = [Given(seats[row[0]], _description(row)) for row in found]
        claim.events = [_acquired(one) for one in given]
        await connection.execute(_WRITE_OUTBOX, {"rows": rows.as_json(rows.outbox(claim.events))})
        return given

    def _times(self, state: State) -> dict[str, Any]:
        return {
            "deadline_s": self._limits.deadline_s(state), "look_s": look_s(self._limits, state, 0), "host": _HOST,
        }  # fmt: skip


async def _search(connection: AsyncConnection[Any], searches: Sequence[_Search], asked: Asked) -> None:
    """Find jobs for all. The searches of one kind go to the server at once; a later one does not see what is taken.

    With the first of them it is asked what the pilots were given before.
    """
    places = asked.places()
    for name in _SEARCHES:
        to_make = [search for search in searches if search.needs(name)]
        if not to_make:
            continue
        seated = await connection.execute(_Q["seated"], {"places": places}) if places else None
        cursors = [await connection.execute(one.queries[name], one.parameters()) for one in to_make]
        if seated is not None:
            places = []
            asked.note(await seated.fetchall())
        for one, cursor in zip(to_make, cursors, strict=True):
            found = await cursor.fetchone()
            if found is not None:
                one.job_ids += found[0]
                one.unseen, one.missed = found[1:]


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


def _acquired(given: Given) -> Outgoing:
    columns = given.job.columns
    event = step_event(
        given.job.job_id, columns["version"], _ACQUIRED, given.seat.cause,
        site=columns["site"], vo=columns["vo"], task_id=columns["task_id"],
    )  # fmt: skip
    return Outgoing.of(event)
