"""The database side of the relay: slices of the outbox and of the kept requests, bounded in rows and bytes."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import LiteralString

import psycopg

from panda_fsm.effects import Outgoing
from panda_fsm.handler import DeadLetter, letter_replayed
from panda_fsm.ports import Unsent
from sql import rows
from sql.queries import load
from sql.session import Session

_Q = load("outbox")
_BURY = load("store")["bury"]
_SLICE_BYTES = 4_000_000
_FETCH = 50


class OutboxStore:
    """One connection for the relay; a slice is one transaction, and its rows are locked until it is left."""

    def __init__(self, database_url: str, statement_timeout_s: float) -> None:
        self._session = Session(database_url, "relay", statement_timeout_s)

    def close(self) -> None:
        """Give the connection back."""
        self._session.close()

    @contextmanager
    def left(self, age_s: float, limit: int) -> Iterator["OutboxSlice"]:
        """Outbox rows that were handed over, or that nobody published within `age_s`; oldest first."""
        with self._session.transaction() as connection:
            unsent = _fetch(connection, "left", age_s, limit)
            yield OutboxSlice(connection, unsent, "left", age_s)

    @contextmanager
    def unhandled(self, age_s: float, limit: int) -> Iterator["OutboxSlice"]:
        """Kept requests that were sent longer than `age_s` ago, older ones ever more seldom."""
        with self._session.transaction() as connection:
            unsent = _fetch(connection, "unhandled", age_s, limit)
            yield OutboxSlice(connection, unsent, "unhandled", age_s)


class OutboxSlice:
    """Unsent messages, and what becomes of them in the transaction that holds them."""

    def __init__(self, connection: psycopg.Connection, unsent: list[Unsent], source: str, age_s: float) -> None:
        self.unsent = unsent
        self._connection = connection
        self._age_s = age_s
        self._sent, self._forget = _Q[f"sent_{source}"], _Q[f"forget_{source}"]
        self._put_off = _Q[f"put_off_{source}"]

    def sent(self, message_ids: Sequence[str]) -> None:
        """An outbox row has done its work; a request is kept until its service has handled it."""
        self._execute(self._sent, message_ids)

    def put_off(self, unsent: Sequence[Unsent], seconds: float, trouble: str) -> None:
        """Not these for so many seconds."""
        ids = [one.message.message_id for one in unsent]
        how = {"message_ids": ids, "seconds": seconds, "age_s": self._age_s, "trouble": trouble}
        self._connection.execute(self._put_off, how)

    def bury(self, unsent: Unsent, reason: str) -> None:
        """Keep it among the dead letters, with where it was to go."""
        message = unsent.message
        queue = "" if message.exchange else message.routing_key
        headers = message.headers or {}
        letter = DeadLetter(
            queue, message.exchange, message.routing_key, message.body, headers, reason,
            replay_of=letter_replayed(headers),
        )  # fmt: skip
        self._connection.execute(_BURY, rows.dead_letter(letter))
        self._execute(self._forget, [message.message_id])

    def _execute(self, query: LiteralString, message_ids: Sequence[str]) -> None:
        if message_ids:
            self._connection.execute(query, {"message_ids": list(message_ids)})


def _fetch(connection: psycopg.Connection, source: str, age_s: float, limit: int) -> list[Unsent]:
    """Rows until there are enough or they weigh enough; the first is taken whatever it weighs."""
    taken: list[str] = []
    weight = 0
    with connection.cursor("unsent") as cursor:
        cursor.itersize = _FETCH
        cursor.execute(_Q[source], {"age_s": age_s, "limit": limit})
        for message_id, size in cursor:
            weight += size
            if taken and weight > _SLICE_BYTES:
                break
            taken.append(message_id)
    if not taken:
        return []
    return [
        Unsent(Outgoing(message_id, exchange, key, text.encode(), headers), tries, age)
        for message_id, exchange, key, text, headers, tries, age in connection.execute(
            _Q[f"bodies_{source}"], {"message_ids": taken}
        )
    ]


def hand_over(connection: psycopg.Connection, outgoing: Sequence[Outgoing]) -> None:
    """Let the relay publish these as soon as the transaction that is under way is committed."""
    if outgoing:
        connection.execute(_Q["hand_over"], {"rows": rows.as_json(rows.outbox(outgoing))})
