"""Accepts a request once, however often it comes: in one transaction with what is kept of it."""

import hashlib
from collections.abc import Collection, Sequence
from typing import Any

from psycopg import AsyncConnection

from panda_fsm.errors import TransientError
from panda_fsm.repeats import LOST_AFTER_S, REPEATED_WITHIN_S, Earlier, Once
from sql import rows
from sql.pool import Pool
from sql.queries import load
from sql.requests import keep

_Q = load("repeats")

Request = tuple[str, str]
"""Its owner, and its key or its hash."""


class RepeatStore:
    """What the gateway knows of requests that came before. Raises TransientError while the database is away."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def answer_to(self, owner: str, key: str) -> Earlier | None:
        """What the request with this key was answered."""
        found = await self._pool.rows(_Q["answer_to"], owner=owner, key=key)
        return Earlier("", *found[0]) if found else None

    async def keep_once(self, asked: Sequence[Once], here: Collection[str]) -> list[Earlier | None]:
        """Keep all or none of those that did not come before; of the others, what they were answered.

        `here`: ids of unanswered requests that the caller sees to.
        """
        async with self._pool.connection() as connection, connection.transaction():
            by_content = await _unanswered(connection, [one for one in asked if one.key is None], here)
            by_key = await _answered(connection, [one for one in asked if one.key is not None])
            earlier = [
                by_content.get((one.owner, one.request_hash)) if one.key is None else by_key[one.request_id]
                for one in asked
            ]
            new = [one for one, before in zip(asked, earlier, strict=True) if before is None]
            await _note(connection, [one for one in new if one.key is None])
            if new:
                messages = [message for one in new for message in one.messages]
                await keep(connection, messages, (), [one.audit for one in new if one.audit is not None])
        return earlier

    async def settle(self, answered: Sequence[str], lost: Sequence[str]) -> None:
        """The answers of some are given and their ids forgotten; those of others never reached anybody."""
        if answered:
            await self._pool.execute(_Q["answered"], request_ids=list(answered))
        if lost:
            await self._pool.execute(_Q["lost"], request_ids=list(lost))


async def _unanswered(
    connection: AsyncConnection[Any], asked: Sequence[Once], here: Collection[str]
) -> dict[Request, Earlier]:
    """Requests of before with the same owner and content whose answers are lost, or may yet be."""
    if not asked:
        return {}
    locks = sorted({_lock(one) for one in asked})
    await connection.execute(_Q["hold"], {"locks": locks})
    wanted = {
        "hashes": [one.request_hash for one in asked], "here": list(here),
        "lost_after_s": LOST_AFTER_S, "within_s": REPEATED_WITHIN_S,
    }  # fmt: skip
    found = await (await connection.execute(_Q["unanswered"], wanted)).fetchall()
    # The last one counts: one that is lost if there is any.
    return {(row[0], row[1]): Earlier(row[2], row[1], row[3], row[4]) for row in found}


async def _answered(connection: AsyncConnection[Any], asked: Sequence[Once]) -> dict[str, Earlier | None]:
    """Note the keys that are new; for the others, what was noted with them. A key that comes twice is new once."""
    first: dict[Request, Once] = {}
    for one in asked:
        first.setdefault((one.owner, one.key or ""), one)
    if not first:
        return {}
    noted = rows.as_json(
        [{"owner": o.owner, "key": o.key, "request_hash": o.request_hash, "answer": o.answer} for o in first.values()]
    )
    new = {(row[0], row[1]) for row in await (await connection.execute(_Q["note_keys"], {"rows": noted})).fetchall()}
    known: dict[Request, Earlier] = {request: _as_earlier(first[request]) for request in new}
    if len(new) < len(first):
        old = rows.as_json([{"owner": owner, "key": key} for owner, key in first if (owner, key) not in new])
        for row in await (await connection.execute(_Q["answers_to"], {"rows": old})).fetchall():
            known[row[0], row[1]] = Earlier("", row[2], row[3])
    if len(known) < len(first):
        raise TransientError("a key was forgotten at this very moment")
    earlier: dict[str, Earlier | None] = {}
    for one in asked:
        request = (one.owner, one.key or "")
        earlier[one.request_id] = None if first[request] is one and request in new else known[request]
    return earlier


async def _note(connection: AsyncConnection[Any], new: Sequence[Once]) -> None:
    if not new:
        return
    noted = [
        {"request_id": o.request_id, "owner": o.owner, "request_hash": o.request_hash, "answer": o.answer} for o in new
    ]
    await connection.execute(_Q["note_unanswered"], {"rows": rows.as_json(noted)})


def _as_earlier(one: Once) -> Earlier:
    return Earlier(one.request_id, one.request_hash, one.answer)


def _lock(one: Once) -> int:
    """A number for owner and content."""
    digest = hashlib.sha256(f"{one.owner} {one.request_hash}".encode()).digest()
    return int.from_bytes(digest[:8], "big", signed=True)
