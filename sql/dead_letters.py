"""Dead letters as operators settle them: replayed, edited and replayed, or discarded, one by one or all of a kind."""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any, TypeVar

import psycopg
from psycopg.types.json import Jsonb

from panda_fsm import delays
from panda_fsm.bindings import DEAD_LETTERS, FOREIGN, all_bindings
from panda_fsm.effects import Outgoing
from panda_fsm.errors import LetterError, PoisonError
from panda_fsm.handler import REPLAY_OF, SENDER
from panda_fsm.messages import LARGEST_BODY, cut, decode, new_message_id
from panda_fsm.tracing import carried
from panda_fsm.views import payloads
from panda_fsm.views.dead_letters import Choice, Deed, Fate, Settled
from sql import outbox
from sql.queries import load
from sql.session import Session

Answer = TypeVar("Answer")
_Q = load("dead_letters")
_TIMEOUT_S = 60.0
_CHUNK = 100
_CHUNK_BYTES = 4_000_000
"""Letters in one transaction, and what they may weigh: one alone may weigh fifteen megabytes."""
_DIFF_IN_AUDIT = 4000
_QUEUES = {one.queue for one in all_bindings()} - {DEAD_LETTERS}
"""Where letters go back to. What came to the dead letters without having died goes to whoever takes it now."""


class DeadLetterBox:
    """The table of dead letters, and what becomes of them."""

    def __init__(self, database_url: str, timeout_s: float = _TIMEOUT_S) -> None:
        self._session = Session(database_url, "dead-letters", timeout_s)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def count(self, choice: Choice) -> int:
        """How many open letters are meant."""
        with self._session.use() as connection:
            found = connection.execute(_Q["count"], _meant(choice)).fetchone()
            return int(found[0]) if found else 0

    def settle(self, choice: Choice, fate: Fate, deed: Deed, most: int | None = None) -> Settled:
        """Replay the open letters that are meant into their queues, or discard them; an audit row for each.

        What no service can read would only come back: it is left as it is. At most `most` are looked at.
        """
        done, after, seen = Settled(), 0, 0
        while most is None or seen < most:
            with self._session.transaction() as connection:
                limit = _CHUNK if most is None else min(_CHUNK, most - seen)
                page = _meant(choice) | {"after": after, "limit": limit, "bytes": _CHUNK_BYTES}
                taken = [number for (number,) in connection.execute(_Q["open_letters"], page)]
                if not taken:
                    break
                after, seen = taken[-1], seen + len(taken)
                if fate == "replayed":
                    letters = connection.execute(_Q["payloads"], {"ids": taken}).fetchall()
                    outbox.hand_over(connection, self._to_send(letters, done))
                ids = [number for number in taken if number not in done.unreadable]
                _note(connection, ids, fate, deed)
            done.letters += len(ids)
        return done

    def body(self, letter_id: int) -> bytes:
        """The body of a letter as it came. Raises LetterError where there is none."""
        with self._session.use() as connection:
            found = connection.execute(_Q["body"], {"letter_id": letter_id}).fetchone()
        if found is None:
            raise LetterError(f"no dead letter {letter_id}")
        return bytes(found[0])

    def to_edit(self, letter_id: int) -> str:
        """The body of an open letter as it is edited. Raises LetterError for one that cannot be."""
        with self._session.use() as connection:
            return payloads.to_edit(_open(connection, letter_id)[2])

    def difference(self, letter_id: int, wanted: str) -> str:
        """What an edited copy would change. Raises LetterError for what could not be sent."""
        with self._session.use() as connection:
            return self._edited(_open(connection, letter_id), wanted)[1]

    def replay_edited(self, letter_id: int, wanted: str, deed: Deed) -> str:
        """Send an edited copy of an open letter in its place, keep both, and answer the difference; an audit row.

        Raises LetterError for what cannot be sent.
        """
        with self._session.transaction() as connection:
            letter = _open(connection, letter_id)
            message, difference = self._edited(letter, wanted)
            outbox.hand_over(connection, [message])
            detail = {"edited": True, "difference": cut(difference, _DIFF_IN_AUDIT)}
            copy = {"edited": delays.as_sent(message.body, message.headers or {}), "edit_diff": difference}
            _note(connection, [letter_id], "replayed", deed, detail, copy)
            return difference

    def _edited(self, letter: tuple[int, str, bytes, dict[str, str], str], wanted: str) -> tuple[Outgoing, str]:
        number, queue, payload, said, routing_key = letter
        body, difference = payloads.edited(payload, wanted)
        if not difference:
            raise LetterError("nothing is edited: replay it as it is")
        if len(body) > LARGEST_BODY:
            raise LetterError("the edited copy is too large for a message")
        try:
            return self._outgoing(number, queue, body, said, routing_key), difference
        except PoisonError as error:
            raise LetterError(f"the edited copy would be refused: {error}") from None

    def _to_send(self, rows: Sequence[tuple[int, str, bytes, dict[str, str], str]], done: Settled) -> list[Outgoing]:
        messages = []
        for number, queue, payload, said, routing_key in rows:
            try:
                messages.append(self._outgoing(number, queue, bytes(payload), said, routing_key))
            except PoisonError as error:
                done.unreadable[number] = str(error)
        return messages

    def _outgoing(self, number: int, queue: str, payload: bytes, said: dict[str, str], routing_key: str) -> Outgoing:
        """It goes to the queue that gave it up; where that is no more, to whoever takes such messages now.

        One that is not of our making goes back as it came, with what the broker said of its sender. All say which
        letter they were, and what their key was. Raises PoisonError for what nobody could read.
        """
        headers = {REPLAY_OF: str(number)} | carried(said)
        if queue in FOREIGN:
            body, how = delays.as_text(payload)
            sender = {name: said[name] for name in SENDER if name in said}
            return Outgoing(new_message_id(), "", queue, body, headers | sender | how)
        message = decode(payload)
        if queue not in _QUEUES:
            return Outgoing(new_message_id(), message.exchange, message.routing_key, payload, headers)
        return Outgoing(new_message_id(), "", queue, payload, headers | {"key": routing_key})


class DeadLetterDesk:
    """The box for the gateway: each deed in a thread, by a connection of its own, for they are few."""

    def __init__(self, database_url: str, timeout_s: float) -> None:
        self._database_url = database_url
        self._timeout_s = timeout_s

    async def count(self, choice: Choice) -> int:
        """How many open letters are meant."""
        return await self._do(lambda box: box.count(choice))

    async def settle(self, choice: Choice, fate: Fate, deed: Deed, most: int) -> Settled:
        """Replay or discard the open letters that are meant, at most so many."""
        return await self._do(lambda box: box.settle(choice, fate, deed, most))

    async def to_edit(self, letter_id: int) -> str:
        """The body of an open letter as it is edited. Raises LetterError for one that cannot be."""
        return await self._do(lambda box: box.to_edit(letter_id))

    async def difference(self, letter_id: int, wanted: str) -> str:
        """What an edited copy would change. Raises LetterError for what could not be sent."""
        return await self._do(lambda box: box.difference(letter_id, wanted))

    async def replay_edited(self, letter_id: int, wanted: str, deed: Deed) -> str:
        """Send an edited copy in place of an open letter. Raises LetterError for what cannot be sent."""
        return await self._do(lambda box: box.replay_edited(letter_id, wanted, deed))

    async def _do(self, deal: Callable[[DeadLetterBox], Answer]) -> Answer:
        def done() -> Answer:
            box = DeadLetterBox(self._database_url, self._timeout_s)
            try:
                return deal(box)
            finally:
                box.close()

        return await asyncio.to_thread(done)


def _open(connection: psycopg.Connection, letter_id: int) -> tuple[int, str, bytes, dict[str, str], str]:
    """An open letter, locked while a transaction is under way. Raises LetterError where there is none."""
    found = connection.execute(_Q["open_letter"], {"letter_id": letter_id}).fetchone()
    if found is None:
        raise LetterError(f"dead letter {letter_id} is not open: somebody has settled it, or there is none")
    number, queue, payload, said, routing_key = found
    return number, queue, bytes(payload), said, routing_key


def _note(
    connection: psycopg.Connection,
    ids: Sequence[int],
    fate: Fate,
    deed: Deed,
    detail: dict[str, Any] | None = None,
    copy: dict[str, Any] | None = None,
) -> None:
    """Settle them, with an audit row for each."""
    row = {"ids": list(ids), "status": fate, "actor": deed.actor, "reason": deed.reason or None}
    more = {"detail": Jsonb(deed.detail | (detail or {}))}
    connection.execute(_Q["settle"], row | more | (copy or {"edited": None, "edit_diff": None}))


def _meant(choice: Choice) -> dict[str, Any]:
    return asdict(choice) | {"ids": None if choice.ids is None else list(choice.ids)}
