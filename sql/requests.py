"""What the gateway needs to accept a request: look its jobs up, keep it, write down who was heard."""

import time
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from math import inf
from typing import Any, TypeVar

from psycopg import AsyncConnection

from panda_fsm.claims import MOST_KINDS, SiteAsks, fingerprint
from panda_fsm.descriptions import AuditRow
from panda_fsm.effects import Outgoing
from panda_fsm.errors import HeldError
from panda_fsm.jobs.plain import BEATING, PLAIN_STATES, PlainReport, Taken
from sql import rows
from sql.job_rows import JobRows
from sql.pool import Pool
from sql.queries import load

_Q = load("requests")
_STAMPS = ("stamp", "stamp_free")
_KEEP_HEARD = {how: "\n".join((_Q["heard"], _Q[how], _Q["keep_heard"])) for how in _STAMPS}
_KEEP_AUDITED = {how: "\n".join((_Q["heard"], _Q[how], _Q["keep_audited"])) for how in _STAMPS}
_KEEP_PLAIN = {how: "\n".join((_Q["plain"], _Q[how], _Q["keep_plain"])) for how in _STAMPS}
_HEAR = {how: "\n".join((_Q["heard"], _Q[how], _Q["hear"])) for how in _STAMPS}
_FREE_FOR_S = 60.0
"""So long after a stamp was waited for in vain none is waited for."""
_TICK, _COUNT_ASKED = load("pulse")["tick"], load("pulse")["count_asked"]
_STATES = f"{{{','.join(PLAIN_STATES)}}}"
"""As PostgreSQL writes a list: psycopg would make it anew for each statement."""
Answer = TypeVar("Answer")
_STATEMENT_BYTES = 4 * 1024 * 1024


class RequestStore(JobRows):
    """The gateway's requests. Raises TransientError while the database is away or too slow; then nothing was kept."""

    def __init__(self, pool: Pool) -> None:
        super().__init__(pool)
        self._waited_at = -inf

    async def keep(self, messages: Sequence[Outgoing], heard: Sequence[int], audit: Sequence[AuditRow] = ()) -> None:
        """Keep all or none of the messages until their services have handled them; the pilots of `heard` were heard.

        Who asked for what is written down with them.
        """

        async def work(stamp: str) -> None:
            async with self._pool.connection() as connection:
                await keep(connection, messages, heard, audit, stamp)

        await self._stamping(work)

    async def keep_plain(self, reports: Sequence[PlainReport]) -> list[Taken | None]:
        """Keep those that are plain, or write down that they were heard; of each what to say, None: not plain."""
        taken: list[Taken | None] = [None] * len(reports)
        asked = _plain(reports)
        found = await self._stamping(lambda stamp: self._pool.rows(_KEEP_PLAIN[stamp], **asked))
        for number, command, is_heartbeat in found:
            taken[number] = Taken(command, is_heartbeat)
        return taken

    async def leave(self, message_ids: Sequence[str]) -> None:
        """Of these messages the requests among them are not published from here: the relay sends them at once."""
        await self._pool.execute(_Q["leave"], message_ids=list(message_ids))

    async def hear(self, job_ids: Sequence[int]) -> None:
        """The pilots of these jobs live."""
        heard = sorted(set(job_ids))
        await self._stamping(lambda stamp: self._pool.execute(_HEAR[stamp], job_ids=heard))

    async def _stamping(self, work: Callable[[str], Awaitable[Answer]]) -> Answer:
        """Do `work` with the usual stamp, and again without those that somebody holds: nobody waits for one's pilot."""
        if time.monotonic() - self._waited_at > _FREE_FOR_S:
            try:
                return await work("stamp")
            except HeldError:
                self._waited_at = time.monotonic()
        return await work("stamp_free")

    async def tick(self, name: str, grace_s: float) -> None:
        """`name` listens; after a gap nobody is lost for `grace_s`."""
        await self._pool.execute(_TICK, name=name, grace_s=grace_s)

    async def count_asked(self, asked: Mapping[str, SiteAsks]) -> None:
        """What pilots of these queues asked and were given since the last time."""
        counted = [
            {"site": site, "asks": one.asks, "jobs": one.jobs, "empty": one.empty,
             "kinds": [{"fingerprint": fingerprint(kind), **asdict(ask)} for kind, ask in one.kinds.items()]}
            for site, one in sorted(asked.items())
        ]  # fmt: skip
        await self._pool.execute(_COUNT_ASKED, rows=rows.as_json(counted), most=MOST_KINDS)

    async def job_id_block(self) -> int:
        """The first id of a block of PandaIDs that belongs to the caller alone."""
        return int((await self._pool.row(_Q["job_id_block"]))[0])

    async def last_job_id_block(self) -> int:
        """The first id of the block handed out last, to whomever."""
        return int((await self._pool.row(_Q["last_job_id_block"]))[0])

    async def submission_waits(self, age_s: float) -> bool:
        """Whether a submission that was accepted so long ago or longer still waits for its service."""
        return bool((await self._pool.row(_Q["submission_waits"], age_s=age_s))[0])

    async def job_set_id(self) -> int:
        """A new jobset id."""
        return int((await self._pool.row(_Q["job_set_id"]))[0])


async def keep(
    connection: AsyncConnection[Any],
    messages: Sequence[Outgoing],
    heard: Sequence[int],
    audit: Sequence[AuditRow],
    stamp: str = "stamp",
) -> None:
    """All or none of it, in the transaction of `connection` or one of its own."""
    first, *others = list(_portions(messages))
    if not others:
        await connection.execute(*_keep(first, heard, audit, stamp))
        return
    async with connection.transaction():
        for portion in (first, *others):
            await connection.execute(*(_keep(portion, heard, audit, stamp) if portion is first else _keep(portion)))


def _keep(
    messages: Sequence[Outgoing], heard: Sequence[int] = (), audit: Sequence[AuditRow] = (), stamp: str = "stamp"
) -> tuple[Any, dict[str, Any]]:
    """The statement and its parameters."""
    parameters: dict[str, Any] = {"rows": rows.as_json(rows.outbox(messages))}
    if not heard and not audit:
        return _Q["keep"], parameters
    parameters["job_ids"] = sorted(set(heard))
    if not audit:
        return _KEEP_HEARD[stamp], parameters
    return _KEEP_AUDITED[stamp], parameters | {"audit": rows.as_json([asdict(row) for row in audit])}


def _plain(reports: Sequence[PlainReport]) -> dict[str, Any]:
    """The parameters of `keep_plain`."""
    asked = [
        {
            "number": number, "job_id": one.job_id, "holder": one.holder, "attempt_nr": one.attempt_nr,
            "batch_id": one.batch_id, "may_beat": one.may_beat, **row,
        }
        for number, (one, row) in enumerate(zip(reports, rows.outbox([r.message for r in reports]), strict=True))
    ]  # fmt: skip
    return {"rows": rows.as_json(asked), "states": _STATES, "beating": BEATING}


def _portions(messages: Sequence[Outgoing]) -> Iterator[list[Outgoing]]:
    """The messages in portions that one statement can carry; always at least one."""
    portion: list[Outgoing] = []
    weight = 0
    for message in messages:
        if portion and weight + len(message.body) > _STATEMENT_BYTES:
            yield portion
            portion, weight = [], 0
        portion.append(message)
        weight += len(message.body)
    yield portion
