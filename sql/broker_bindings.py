"""Remembers the bindings that programs of this database declared: AMQP lists none, and those that left must go."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

import psycopg

from panda_fsm.bindings import Binding, Further, all_bindings
from panda_fsm.errors import TransientError
from sql.queries import load

_Q = load("broker_bindings")


def record(connection: psycopg.Connection, further: Further) -> None:
    """Note the bindings of this program; what earlier ones declared beyond them is retired from now on."""
    present = sorted(all_bindings() | further)
    with connection.transaction(), connection.cursor() as cursor:
        cursor.executemany(_Q["declare"], present)
        cursor.execute(_Q["retire"], _columns(present))


def retired(database_url: str) -> list[Binding]:
    """The bindings that left the table and may still be on the broker."""
    with _connected(database_url) as connection:
        return [Binding(*row) for row in connection.execute(_Q["retired"]).fetchall()]


def forget(database_url: str, bindings: Sequence[Binding]) -> None:
    """These are no more on the broker. One that is in use again meanwhile stays."""
    with _connected(database_url) as connection:
        connection.execute(_Q["forget"], _columns(bindings))


def _columns(bindings: Sequence[Binding]) -> dict[str, list[str]]:
    return {
        "queues": [one.queue for one in bindings],
        "exchanges": [one.exchange for one in bindings],
        "routing_keys": [one.routing_key for one in bindings],
    }


@contextmanager
def _connected(database_url: str) -> Iterator[psycopg.Connection]:
    try:
        with psycopg.connect(database_url, autocommit=True, connect_timeout=5) as connection:
            yield connection
    except psycopg.OperationalError as error:
        raise TransientError(f"no database at PANDA_FSM_DATABASE_URL: {error}") from error
