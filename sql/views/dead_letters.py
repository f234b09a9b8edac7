"""Reads dead letters for people: groups, single letters with what they were before, and what a replay would do."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any, LiteralString

from panda_fsm.jobs.states import State
from panda_fsm.views.cursors import Part
from panda_fsm.views.dead_letters import (
    CURSORS,
    MOST_COUNTED,
    MOST_GROUPS,
    MOST_OPEN,
    Choice,
    Group,
    Kin,
    Letter,
    Line,
    Wanted,
    way,
)
from panda_fsm.views.payloads import SHOWN_BYTES, show
from panda_fsm.views.redaction import Redaction, redacted
from panda_fsm.views.replaying import MOST_JOBS, MOST_JUDGED, DryRun, Judgement, Read, Standing, judge, read
from sql.pool import Pool
from sql.queries import load

_Q = load("views_dead_letters")
_EVER = datetime(1970, 1, 1, tzinfo=UTC)
_LATER = datetime(9000, 1, 1, tzinfo=UTC)
_LAST = 2**63 - 1
_MOST_KIN = 20
_CHUNK, _CHUNK_BYTES = 200, 4_000_000
"""Letters that are judged at a time, and what they may weigh."""
_MOST_BYTES = 32_000_000
_LINE = 13
"""Columns of a letter in a list."""
_WHICH: Mapping[str, LiteralString] = {
    "fingerprint": "fingerprint = %(fingerprint)s", "queue": "queue = %(queue)s", "since": "at >= %(since)s"
}  # fmt: skip
"""What is not asked for does not stand in the statement: so each is planned for what it looks for."""


class DeadLetterReads:
    """What is seen of dead letters: no secret is, and nothing is changed.

    Raises TransientError while the database is away or too slow.
    """

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def groups(self, wanted: Wanted) -> list[Group]:
        """Letters that died alike, the group with the newest letter first; at most `MOST_GROUPS` are looked at."""
        rows = await self._pool.rows(
            _Q["groups"], status=wanted.status, fingerprint=wanted.fingerprint, queue=wanted.queue,
            since=wanted.since or _EVER, most_groups=MOST_GROUPS if wanted.fingerprint is None else 1,
            most_counted=MOST_COUNTED,
        )  # fmt: skip
        return [Group(*_told(row, 2)) for row in rows]

    async def open_letters(self) -> int:
        """How many wait for somebody, up to a bound."""
        return int((await self._pool.row(_Q["open_letters"], most=MOST_OPEN))[0])

    async def letters(self, wanted: Wanted) -> Part[Line]:
        """Single letters, the newest first."""
        before_at, before_id = wanted.after or (_LATER, _LAST)
        which = [condition for name, condition in _WHICH.items() if getattr(wanted, name) is not None]
        rows = await self._pool.rows(
            _Q["letters"].replace("true /* which */", " AND ".join(which) or "true"), status=wanted.status,
            fingerprint=wanted.fingerprint, queue=wanted.queue, since=wanted.since, before_at=before_at,
            before_id=before_id, limit=wanted.limit + 1,
        )  # fmt: skip
        return CURSORS.part([_line(row) for row in rows], wanted.limit, lambda line: (line.at, line.dead_letter_id))

    async def letter(self, letter_id: int) -> Letter | None:
        """One letter with its kin, and the beginning of its body."""
        found = await self._pool.rows(_Q["letter"], letter_id=letter_id, most_bytes=SHOWN_BYTES)
        if not found:
            return None
        line = _line(found[0][:_LINE])
        exchange, routing_key, headers, error, beginning, edit_diff = found[0][_LINE:]
        is_whole = len(beginning) == line.size
        known = read(letter_id, line.queue, bytes(beginning)) if is_whole else None
        return Letter(
            line, exchange, routing_key, Redaction().shown(dict(sorted(headers.items()))), way(headers),
            redacted(error or ""), show(bytes(beginning), line.size), known.job_ids if known else (), edit_diff,
            await self._kin("earlier", letter_id), await self._kin("later", letter_id),
        )  # fmt: skip

    async def dry_run(self, choice: Choice, most: int = MOST_JUDGED) -> DryRun:
        """What would become of the open letters that are meant, by what their jobs and blocks are now."""
        done, after, weight = DryRun(), 0, 0
        while True:
            limit = min(_CHUNK, most + 1 - len(done.judged))
            taken = await self._meant(choice, after, limit)
            if not taken:
                return done
            if len(done.judged) >= most or weight > _MOST_BYTES:
                done.is_whole = False
                return done
            done.judged += await self._judged(taken)
            after, weight = taken[-1][0], weight + sum(len(body) for _, _, body in taken)
            if len(done.judged) > most:
                del done.judged[most:]
                done.is_whole = False
                return done

    async def _meant(self, choice: Choice, after: int, limit: int) -> list[tuple[int, str, bytes]]:
        ids = None if choice.ids is None else list(choice.ids)
        return await self._pool.rows(
            _Q["meant"], ids=ids, fingerprint=choice.fingerprint, queue=choice.queue, after=after, limit=limit,
            bytes=_CHUNK_BYTES,
        )  # fmt: skip

    async def _judged(self, letters: Sequence[tuple[int, str, bytes]]) -> list[Judgement]:
        """Bodies may be large: they are read in a thread, while others have their turn."""
        known = await asyncio.to_thread(lambda: [read(number, queue, bytes(body)) for number, queue, body in letters])
        blocks = await self._blocks(known)
        wanted = {job_id for one in known for job_id in one.job_ids}.union(*blocks.values())
        jobs = await self._standing(sorted(wanted))
        return [judge(one, jobs, blocks) for one in known]

    async def _blocks(self, letters: Sequence[Read]) -> dict[str, list[int]]:
        names = sorted({one.block for one in letters if one.block})
        return dict(await self._pool.rows(_Q["blocks"], names=names, most=MOST_JOBS)) if names else {}

    async def _standing(self, job_ids: Sequence[int]) -> dict[int, Standing]:
        """The jobs that exist."""
        if not job_ids:
            return {}
        live = await self._pool.rows(_Q["live"], job_ids=job_ids)
        found = {job_id: Standing(State(state), *rest) for job_id, state, *rest in live}
        missing = [job_id for job_id in job_ids if job_id not in found]
        ended = await self._pool.rows(_Q["archived"], job_ids=missing) if missing else []
        return found | {job_id: Standing(None) for (job_id,) in ended}

    async def _kin(self, query: str, letter_id: int) -> list[Kin]:
        rows = await self._pool.rows(_Q[query], letter_id=letter_id, most=_MOST_KIN)
        return [Kin(*_told(row, 3)) for row in rows]


def _line(row: Sequence[Any]) -> Line:
    return Line(*_told(row, 3))


def _told(row: Sequence[Any], reason: int) -> list[Any]:
    """A row whose reason, in that place, shows no secret."""
    return [*row[:reason], redacted(row[reason]), *row[reason + 1 :]]
