"""What is read of large rows is bounded before it is read: by the relay, and by who replays dead letters."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from panda_fsm.messages import CheckBlock
from panda_fsm.views.dead_letters import Choice, Deed
from sql.dead_letters import DeadLetterBox
from sql.outbox import OutboxStore
from tests.driver import Database

ROWS = 50
MEGABYTE = 1_000_000


@contextmanager
def taking_at_most(megabytes: int) -> Iterator[None]:
    """Fails when more memory was taken at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * MEGABYTE
    finally:
        tracemalloc.stop()


SOURCES = {
    "left": "INSERT INTO outbox (message_id, exchange, routing_key, body, put_off_until)"
    " SELECT gen_random_uuid(), '', 'closer', repeat('x', 1000000), now() FROM generate_series(1, 50)",
    "unhandled": "INSERT INTO request (message_id, routing_key, body, sent_at)"
    " SELECT gen_random_uuid(), 'submit', repeat('x', 1000000), 'epoch' FROM generate_series(1, 50)",
}


@pytest.mark.parametrize("source", SOURCES)
def test_a_slice_of_large_messages_is_weighed_before_it_is_read(
    database: Database, database_url: str, source: str
) -> None:
    database.execute(SOURCES[source])
    store = OutboxStore(database_url, 30)
    with taking_at_most(megabytes=15), getattr(store, source)(1, 1000) as part:
        assert [len(one.message.body) for one in part.unsent] == [MEGABYTE] * 4
    database.execute(SOURCES[source].replace("1000000", "9000000").replace("50", "1"))
    if source == "left":
        database.execute("DELETE FROM outbox WHERE octet_length(body) = 1000000")
        with store.left(1, 1000) as part:
            assert [len(one.message.body) for one in part.unsent] == [9 * MEGABYTE], "one goes whatever it weighs"
    store.close()


def test_large_dead_letters_are_replayed_a_few_at_a_time(database: Database, database_url: str) -> None:
    body = CheckBlock(job_id=1).encode().decode().rstrip("}") + ', "more": "' + "x" * MEGABYTE + '"}'
    query = """INSERT INTO dead_letter (queue, exchange, routing_key, payload, headers, reason, fingerprint)
               SELECT 'closer', '', '', convert_to(%s, 'UTF8'), '{}', 'no', 'f' FROM generate_series(1, 50)"""
    database.execute(query, (body,))
    box = DeadLetterBox(database_url)
    with taking_at_most(megabytes=35):
        assert box.settle(Choice(fingerprint="f"), "replayed", Deed("me")).letters == ROWS
    box.close()
    assert database.value("SELECT count(*) FROM outbox WHERE routing_key = 'closer'") == ROWS
