"""Jobs in a list, live and archived, the newest first; how many there are comes from the rollup alone."""

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any, LiteralString

from panda_fsm.jobs.facts import FINAL
from panda_fsm.views.cursors import Key
from panda_fsm.views.job_list import CURSORS, LIVE, JobPage, JobRow, JobsWanted
from panda_fsm.views.redaction import shown
from sql.job_conditions import WHICH, conditioned, parameters, those
from sql.pool import Pool
from sql.queries import load

_Q = load("views_job_list")
_LOOKED = 40_000
"""Rows of one look: as many as are read in a part of the time that a page may take."""
_LAST = 2**63 - 1
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_EVER = datetime(9000, 1, 1, tzinfo=UTC)
_BEGIN: Key = (_LAST, LIVE)
_BEGIN_ARCHIVE: Key = (_LAST, (_EVER - _EPOCH) // timedelta(microseconds=1))


class JobListReads:
    """The lists of jobs. Raises TransientError while the database is away or too slow."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def page(self, wanted: JobsWanted) -> JobPage:
        """Live ones before archived ones; a page whose look was cut may have fewer rows, or none."""
        asked = parameters(wanted)
        counts = await self._counts(asked)
        place = wanted.after or _BEGIN
        rows: list[JobRow] = []
        if wanted.state is not None and not counts.get(wanted.state):
            return JobPage((), None, False, counts)
        if place[1] == LIVE:
            rows = await self._look("live", asked, place, wanted.limit + 1)
            if len(rows) > wanted.limit:
                return _full(rows, wanted.limit, counts)
            if not _are_all(rows, wanted, counts):
                cut = await self._cut("live_end", asked, place)
                if cut is not None:
                    return JobPage(tuple(rows), CURSORS.text(cut), True, counts)
            place = _BEGIN_ARCHIVE
        if wanted.state is not None and wanted.state not in FINAL:
            return JobPage(tuple(rows), None, False, counts)
        rows += await self._look("archived", asked, place, wanted.limit + 1 - len(rows))
        if len(rows) > wanted.limit:
            return _full(rows, wanted.limit, counts)
        cut = await self._cut("archived_end", asked, place)
        return JobPage(tuple(rows), None if cut is None else CURSORS.text(cut), cut is not None, counts)

    async def _counts(self, asked: Mapping[str, Any]) -> dict[str, int]:
        which = those(asked, {name: WHICH[name] for name in ("site", "vo")})
        return dict(await self._pool.rows(_Q["counts"].replace(" /* which */", which), **asked))

    async def _look(self, query: str, asked: Mapping[str, Any], place: Key, wanted: int) -> list[JobRow]:
        named = _named(query, asked)
        found = await self._pool.rows(named, **asked, **_at(place), looked=_LOOKED, wanted=wanted)
        rows = [JobRow(*row) for row in found]
        return [replace(row, errors=shown(row.errors)) if row.errors else row for row in rows]

    async def _cut(self, query: str, asked: Mapping[str, Any], place: Key) -> Key | None:
        """Where the look ended, if it did before the end."""
        found = await self._pool.rows(_named(query, asked), **asked, **_at(place), looked=_LOOKED)
        return found[0] if found else None


def _named(query: str, asked: Mapping[str, Any]) -> LiteralString:
    return conditioned(_Q[query], asked, is_archived=query.startswith("archived"))


def _at(place: Key) -> dict[str, Any]:
    job_id, ended_us = place
    ended_at = _EVER if ended_us == LIVE else min(_EVER, _EPOCH + timedelta(microseconds=max(0, min(ended_us, 2**57))))
    return {"job_id": job_id, "ended_at": ended_at}


def _are_all(rows: list[JobRow], wanted: JobsWanted, counts: Mapping[str, int]) -> bool:
    """Whether the rollup knows of no more jobs in a state in which none is archived: then nobody looks for others."""
    others = (wanted.task, wanted.user, wanted.code, wanted.since, wanted.until, wanted.after)
    is_plain = wanted.state is not None and wanted.state not in FINAL and others == (None,) * len(others)
    return is_plain and len(rows) >= counts.get(wanted.state or "", 0)


def _full(rows: list[JobRow], limit: int, counts: Mapping[str, int]) -> JobPage:
    part = CURSORS.part(rows, limit, _key)
    return JobPage(part.rows, part.next, False, counts)


def _key(row: JobRow) -> Key:
    return row.job_id, ((row.since - _EPOCH) // timedelta(microseconds=1) if row.is_archived else LIVE)
