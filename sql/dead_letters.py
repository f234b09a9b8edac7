"""Dead letters as operators handle them: looked at, replayed or discarded, one by one or all of a kind."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from psycopg.rows import dict_row

from panda_fsm import delays
from panda_fsm.bindings import FOREIGN
from panda_fsm.effects import Outgoing
from panda_fsm.errors import PoisonError
from panda_fsm.handler import SENDER
from panda_fsm.messages import decode, new_message_id
from sql import outbox
from sql.queries import load
from sql.session import Session

_Q = load("dead_letters")
_TIMEOUT_S = 60.0
_CHUNK = 100
_CHUNK_BYTES = 4_000_000
"""Letters in one transaction, and what they may weigh: one alone may weigh fifteen megabytes."""

Fate = Literal["replayed", "discarded"]


@dataclass(frozen=True, slots=True)
class Choice:
    """Which open dead letters are meant; None means any."""

    ids: Sequence[int] | None = None
    fingerprint: str | None = None
    queue: str | None = None


@dataclass(slots=True)
class Settled:
    """How many letters were settled, and why others cannot be replayed, by their numbers."""

    letters: int = 0
    unreadable: dict[int, str] = field(default_factory=dict)


class DeadLetterBox:
    """The table of dead letters; `queues` are those that there are."""

    def __init__(self, database_url: str, queues: Sequence[str] = ()) -> None:
        self._session = Session(database_url, "dead-letters", _TIMEOUT_S)
        self._queues = frozenset(queues)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    def listed(self, status: str, choice: Choice, limit: int) -> list[dict[str, Any]]:
        """Letters with that status, oldest first."""
        with self._session.use() as connection, connection.cursor(row_factory=dict_row) as cursor:
            return cursor.execute(_Q["listed"], _meant(choice) | {"status": status, "limit": limit}).fetchall()

    def count(self, choice: Choice) -> int:
        """How many open letters are meant."""
        with self._session.use() as connection:
            found = connection.execute(_Q["count"], _meant(choice)).fetchone()
            return int(found[0]) if found else 0

    def settle(self, choice: Choice, fate: Fate, actor: str) -> Settled:
        """Replay the open letters that are meant into their queues, or discard them; an audit row for each.

        What no service can read would only come back: it is left as it is.
        """
        done, after = Settled(), 0
        while True:
            with self._session.transaction() as connection:
                page = _meant(choice) | {"after": after, "limit": _CHUNK, "bytes": _CHUNK_BYTES}
                taken = [number for (number,) in connection.execute(_Q["open_letters"], page)]
                if not taken:
                    return done
                after = taken[-1]
                if fate == "replayed":
                    letters = connection.execute(_Q["payloads"], {"ids": taken}).fetchall()
                    outbox.hand_over(connection, self._to_send(letters, done))
                ids = [number for number in taken if number not in done.unreadable]
                connection.execute(_Q["settle"], {"ids": ids, "status": fate, "actor": actor})
            done.letters += len(ids)

    def _to_send(self, rows: Sequence[tuple[int, str, bytes, dict[str, str]]], done: Settled) -> list[Outgoing]:
        """Each goes to the queue that gave it up; where that is no more, to whoever takes such messages now.

        One that is not of our making goes back as it came, with what the broker said of its sender.
        """
        messages = []
        for number, queue, payload, said in rows:
            if queue in FOREIGN:
                body, how = delays.as_text(bytes(payload))
                sender = {name: said[name] for name in SENDER if name in said}
                messages.append(Outgoing(new_message_id(), "", queue, body, sender | how))
                continue
            try:
                message = decode(bytes(payload))
            except PoisonError as error:
                done.unreadable[number] = str(error)
                continue
            place = ("", queue) if queue in self._queues else (message.exchange, message.routing_key)
            messages.append(Outgoing(new_message_id(), *place, bytes(payload)))
        return messages


def _meant(choice: Choice) -> dict[str, Any]:
    return asdict(choice) | {"ids": None if choice.ids is None else list(choice.ids)}
