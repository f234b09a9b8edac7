"""The relay on a real broker: what a crash left is published, and one message that cannot be holds up nobody else."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urlsplit

import psycopg
import pytest

from broker.publish import BrokerPublisher
from engine.outbox import REQUESTS_AGAIN_S, Relay
from lab.definitions import LAB
from lab.services import Services
from panda_fsm.effects import Outgoing
from panda_fsm.messages import EVENTS, CheckBlock, KillJob, Message, new_message_id
from panda_fsm.trouble import IN_A_ROW, UNSENT_FOR_S, Condition
from sql.outbox import OutboxStore, hand_over
from tests.driver import Database
from tests.faults import delete_queues
from tests.invariants import depths
from tests.polling import wait_until

GOOD = 5


@contextmanager
def relaying(database_url: str, broker_url: str) -> Iterator[Condition]:
    """A relay at work, and how it feels."""
    publisher, store, condition = BrokerPublisher(broker_url, "relay"), OutboxStore(database_url, 30), Condition()
    publisher.start()
    relay = Relay(store, publisher, 0, 5, condition)
    thread = threading.Thread(target=relay.run, name="relay", daemon=True)
    thread.start()
    assert publisher.ready.wait(30)
    try:
        yield condition
    finally:
        relay.end()
        thread.join(30)
        publisher.stop()
        store.close()


def leave(database: Database, *messages: Message, exchange: str = "", key: str = "", headers: Any = None) -> None:
    """Rows in the outbox, as a crash leaves them; older than those that are left after them."""
    query = """INSERT INTO outbox (message_id, exchange, routing_key, body, headers, created_at)
               VALUES (%s, %s, %s, %s, %s, now() - interval '1 min') RETURNING message_id"""
    for message in messages:
        target = (exchange, key) if key else (message.exchange, message.routing_key)
        values = (message.message_id, *target, message.encode().decode(), headers and json.dumps(headers))
        database.rows(query, values)


def good() -> list[Message]:
    """Messages that the Closer takes."""
    return [CheckBlock(job_id=number) for number in range(1, GOOD + 1)]


def reached(broker_url: str) -> bool:
    """Whether the good ones lie in the Closer's queue."""
    return depths(broker_url).get("closer") == GOOD


def test_what_is_handed_over_need_not_grow_old(database_url: str, database: Database) -> None:
    """Nobody else publishes what the daemon says: a deadline would come as late as a slow service is waited for."""
    database.rows(
        "INSERT INTO outbox (message_id, exchange, routing_key, body) VALUES (%s, %s, %s, %s) RETURNING message_id",
        (new_message_id(), EVENTS, "block.check", "on its way"),
    )
    with psycopg.connect(database_url) as connection:
        hand_over(connection, [Outgoing(new_message_id(), EVENTS, "block.check", b"handed over")])
    store = OutboxStore(database_url, 30)
    with store.left(60, 10) as part:
        assert [one.message.body for one in part.unsent] == [b"handed over"]
    store.close()


BAD: dict[str, dict[str, Any]] = {
    "a header that no frame holds": {"headers": {"reason": "x" * 200_000}},
    "an exchange that is gone": {"exchange": "no.such.exchange", "key": "block.check"},
    "a queue that is gone": {"key": "no_such_queue"},
}


@pytest.mark.parametrize("what", BAD)
def test_one_that_cannot_be_published_holds_up_nobody(
    database: Database, database_url: str, broker_url: str, what: str
) -> None:
    leave(database, *(CheckBlock(job_id=99) for _ in range(3)), **BAD[what])
    leave(database, *good())
    with relaying(database_url, broker_url):
        wait_until(lambda: reached(broker_url), "the good ones in their queue")
        wait_until(lambda: database.value("SELECT count(*) FROM outbox WHERE tries = 0") == 0, "all were tried")
        assert database.value("SELECT count(*) FROM outbox") + len(database.rows("TABLE dead_letter")) == 3


@pytest.mark.parametrize("what", BAD)
def test_what_can_never_be_published_is_buried_with_its_reason(
    database: Database, database_url: str, broker_url: str, what: str
) -> None:
    leave(database, CheckBlock(job_id=99), **BAD[what])
    database.rows(
        "UPDATE outbox SET created_at = now() - make_interval(secs => %s), tries = 5 RETURNING 1", (UNSENT_FOR_S + 60,)
    )
    with relaying(database_url, broker_url):
        wait_until(lambda: database.rows("TABLE dead_letter"), "it is buried")
    assert database.value("SELECT count(*) FROM outbox") == 0
    ((exchange, key, payload, reason),) = database.rows(
        "SELECT exchange, routing_key, payload, reason FROM dead_letter"
    )
    wanted = {"exchange": EVENTS, "key": "block.check"} | {k: v for k, v in BAD[what].items() if k != "headers"}
    assert (exchange, key) == (wanted["exchange"] if what != "a queue that is gone" else "", wanted["key"])
    assert json.loads(bytes(payload))["job_id"] == 99
    assert reason


def test_a_thousand_for_a_queue_that_is_gone_hide_no_good_one(
    database: Database, database_url: str, broker_url: str
) -> None:
    database.rows(
        """INSERT INTO outbox (message_id, exchange, routing_key, body, created_at)
           SELECT md5(i::text)::uuid, '', 'no_such_queue', '{}', now() - interval '1 min'
           FROM generate_series(1, 1000) i RETURNING 1"""
    )
    database.rows("UPDATE outbox SET message_id = ('00000000' || substr(message_id::text, 9))::uuid RETURNING 1")
    leave(database, *good())
    with relaying(database_url, broker_url):
        wait_until(lambda: reached(broker_url), "the good ones in their queue")
    trouble = database.rows("SELECT DISTINCT trouble FROM outbox")
    assert trouble == [("no queue takes it: queue no_such_queue",)]


def test_a_slice_is_bounded_in_bytes(database: Database, database_url: str) -> None:
    database.rows(
        """INSERT INTO outbox (message_id, exchange, routing_key, body, created_at)
           SELECT gen_random_uuid(), '', 'closer', repeat('x', 1000000), now() - interval '1 min'
           FROM generate_series(1, 20) RETURNING 1"""
    )
    store = OutboxStore(database_url, 30)
    with store.left(0, 1000) as part:
        assert 1 <= len(part.unsent) <= 4
    store.close()


def test_a_broker_that_refuses_all_alike_buries_nothing(
    database: Database, database_url: str, broker_url: str, services: Services
) -> None:
    """Somebody took away a right: none of the messages is to blame, however often each of them failed."""

    def let_write(pattern: str) -> None:
        vhost = urlsplit(broker_url).path[1:]
        services.rabbitmq.control("set_permissions", "-p", vhost, LAB, ".*", pattern, ".*")

    messages = [CheckBlock(job_id=number) for number in range(1, IN_A_ROW + 2)]
    with relaying(database_url, broker_url) as condition:
        let_write(rf"^(?!{EVENTS}).*")
        leave(database, *messages)
        wait_until(lambda: database.value("SELECT min(tries) FROM outbox") > 0, "all were tried")
        database.execute("UPDATE outbox SET tries = 100, put_off_until = NULL")
        wait_until(lambda: database.value("SELECT min(tries) FROM outbox") > 100, "all were tried again")
        assert not database.rows("TABLE dead_letter")
        assert "ACCESS_REFUSED" in (condition.trouble or "")
        let_write(".*")
        database.execute("UPDATE outbox SET put_off_until = NULL")
        wait_until(lambda: database.value("SELECT count(*) FROM outbox") == 0, "all are sent")
        wait_until(lambda: condition.trouble is None, "all is well")


def keep(database: Database, request: Message, age_s: float) -> None:
    """An accepted request whose gateway died before it was published."""
    query = """INSERT INTO request (message_id, routing_key, body, sent_at)
               VALUES (%s, %s, %s, now() - make_interval(secs => %s)) RETURNING 1"""
    database.rows(query, (request.message_id, request.routing_key, request.encode().decode(), age_s))


def test_an_orphaned_request_goes_out_again_by_itself(database: Database, database_url: str, broker_url: str) -> None:
    keep(database, KillJob(job_id=1), REQUESTS_AGAIN_S + 1)
    keep(database, KillJob(job_id=2), 0)
    with relaying(database_url, broker_url):
        wait_until(lambda: depths(broker_url).get("watcher") == 1, "the old one in the Watcher's queue")
    kept = database.rows("SELECT sent_at > now() - interval '30 s' FROM request")
    assert kept == [(True,), (True,)], "it is kept until somebody has handled it, and not sent twice a minute"


def test_what_comes_back_because_its_queue_was_deleted_goes_out_again_soon(
    database: Database, database_url: str, broker_url: str
) -> None:
    """However old it is: the queue is declared again at once, and a request need not wait for its next minute."""
    with relaying(database_url, broker_url):
        delete_queues(broker_url)
        leave(database, CheckBlock(job_id=1))
        database.execute("UPDATE outbox SET created_at = now() - make_interval(secs => %s)", (UNSENT_FOR_S + 60,))
        keep(database, KillJob(job_id=1), UNSENT_FOR_S + 60)
        wait_until(lambda: database.value("SELECT count(*) FROM outbox") == 0, "the message sent")
        wait_until(lambda: database.value("SELECT sent_at > now() - interval '30 s' FROM request"), "the request sent")
    assert depths(broker_url) == {"closer": 1, "watcher": 1}
    assert not database.rows("TABLE dead_letter")


def test_a_request_that_no_broker_takes_is_buried(database: Database, database_url: str, broker_url: str) -> None:
    keep(database, KillJob(job_id=1), REQUESTS_AGAIN_S + 1)
    database.rows(
        """INSERT INTO request (message_id, routing_key, body, sent_at)
           VALUES (%s, 'kill', repeat('x', 20000000), now() - interval '1 h') RETURNING 1""",
        (new_message_id(),),
    )
    with relaying(database_url, broker_url):
        wait_until(lambda: depths(broker_url).get("watcher") == 1, "the good one")
        wait_until(lambda: database.rows("TABLE dead_letter"), "the other among the dead letters")
    assert database.value("SELECT count(*) FROM request") == 1


def rename(database_url: str, table: str, name: str) -> None:
    """As a migration that went wrong, and its repair."""
    with psycopg.connect(database_url) as connection:
        connection.execute(f"ALTER TABLE {table} RENAME TO {name}".encode())


def test_while_the_database_is_away_it_says_so_and_goes_on(
    database: Database, database_url: str, broker_url: str
) -> None:
    with relaying(database_url, broker_url) as condition:
        rename(database_url, "outbox", "elsewhere")
        wait_until(lambda: condition.trouble, "it says what keeps it from its work")
        assert "outbox" in str(condition.trouble)
        rename(database_url, "elsewhere", "outbox")
        leave(database, *good())
        wait_until(lambda: reached(broker_url), "it works again")
        wait_until(lambda: condition.trouble is None, "and says so")
