"""What is known of PanDA queues, read for people: a list by index, one with its history, sources and their troubles."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Any

from pydantic import ValidationError

from panda_fsm.information.models import Queue
from panda_fsm.sites import SitesNow
from panda_fsm.views.cursors import Part
from panda_fsm.views.information import (
    CURSORS,
    FactChange,
    FactsWanted,
    QueueFacts,
    Rejected,
    SourceNow,
    queue_facts,
)
from sql.pool import Pool
from sql.queries import load

_Q = load("views_information")
_MOST_REJECTED = 200


class InformationViews:
    """Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def queues(self, wanted: FactsWanted, sites: SitesNow) -> Part[QueueFacts]:
        """By name; `sites` knows of downtimes of whole sites."""
        rows = await self._pool.rows(
            _Q["queues"], name=wanted.name, status=wanted.status, source=wanted.source,
            after="" if wanted.after is None else wanted.after[0], limit=wanted.limit + 1,
        )  # fmt: skip
        part = CURSORS.part(rows, wanted.limit, lambda row: row[:1])
        return Part(tuple(_facts(part.rows, sites)), part.next)

    async def queue(self, name: str, sites: SitesNow) -> QueueFacts | None:
        """One; None: no source has it."""
        return next(_facts(await self._pool.rows(_Q["queue"], name=name), sites), None)

    async def history(self, name: str, limit: int = 50) -> tuple[FactChange, ...]:
        """Who changed what of a queue, the newest first."""
        return tuple(FactChange(*row) for row in await self._pool.rows(_Q["history"], name=name, limit=limit))

    async def sources(self) -> tuple[SourceNow, ...]:
        """Where facts come from, those in trouble first."""
        return tuple(SourceNow(*row) for row in await self._pool.rows(_Q["sources"]))

    async def rejected(self, name: str | None = None) -> tuple[Rejected, ...]:
        """What cannot be used, of all or of one queue; the newest first."""
        rows = await self._pool.rows(_Q["rejected"], name=name, limit=_MOST_REJECTED)
        return tuple(Rejected(*row) for row in rows)


def _facts(rows: Iterable[tuple[Any, ...]], sites: SitesNow) -> Iterator[QueueFacts]:
    at = datetime.now(UTC)
    for name, source, facts, override, changed_at in rows:
        try:
            queue = Queue.model_validate({**facts, "override": override})
        except ValidationError:  # written by a newer program: it is there, and that is all that can be said here
            queue = Queue.model_construct(site="?", storage="?")
        yield queue_facts(name, source, queue, changed_at, sites, at)
