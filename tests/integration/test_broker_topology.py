"""Upgrades of the topology: what differs stops nobody and is told; what left the table goes when somebody says so."""

from __future__ import annotations

from collections.abc import Iterator

import psycopg
import pytest

from broker import policies, upgrade
from broker.publish import BrokerPublisher
from broker.topology import queues
from lab.services import Services
from panda_fsm.bindings import Binding, all_bindings
from panda_fsm.errors import TransientError
from sql import broker_bindings
from sql.migrate import migrate
from tests.broker_side import Consuming, channel_of, kill, put, waiting
from tests.polling import wait_until

FORMER = Binding("former", "panda.requests", "report.former")
GONE = Binding("watcher", "panda.requests", "report.gone")


@pytest.fixture
def declared(broker_url: str) -> Iterator[BrokerPublisher]:
    """Everything is declared; and a publisher, while we are at it."""
    one = BrokerPublisher(broker_url, "test")
    one.start()
    assert one.ready.wait(30)
    yield one
    one.stop()


def declare_former(broker_url: str) -> None:
    """What an earlier program left: a queue of its own, and a key more for one of ours."""
    with channel_of(broker_url) as channel:
        channel.queue_declare("former", durable=True, arguments={"x-queue-type": "quorum"})
        channel.queue_bind(*FORMER)
        channel.queue_bind(*GONE)


def test_everything_is_declared_by_whoever_connects_first(broker_url: str, declared: BrokerPublisher) -> None:
    assert upgrade.check(broker_url, []) == []
    assert all(waiting(broker_url, queue.name) == 0 for queue in queues())


def test_a_queue_with_other_arguments_is_taken_as_it_is_and_told(broker_url: str) -> None:
    """As an earlier release declared it: with a delivery limit."""
    arguments = {"x-queue-type": "quorum", "x-delivery-limit": 50, "x-dead-letter-exchange": "panda.dead"}
    with channel_of(broker_url) as channel:
        channel.exchange_declare("panda.events", "direct", durable=True)
        channel.queue_declare("watcher", durable=True, arguments=arguments)
    publisher = BrokerPublisher(broker_url, "test")
    publisher.start()
    with Consuming(broker_url) as consuming:
        assert publisher.publish([kill()], 20).confirmed
        wait_until(lambda: consuming.batches, "it is consumed")
    publisher.stop()
    exchange, queue = upgrade.check(broker_url, [])
    assert "exchange panda.events differs" in exchange
    assert "inequivalent arg 'type'" in exchange
    assert "queue watcher differs" in queue
    assert "'x-delivery-limit'" in queue


def test_what_is_missing_is_told_and_not_declared(broker_url: str) -> None:
    found = upgrade.check(broker_url, [])
    assert "exchange panda.requests is missing; it is declared at the next connection" in found
    assert "queue watcher is missing; it is declared at the next connection" in found
    assert waiting(broker_url, "watcher") == -1


def test_what_left_the_table_is_told_and_pruned(broker_url: str, declared: BrokerPublisher) -> None:
    declare_former(broker_url)
    assert upgrade.check(broker_url, [FORMER, GONE]) == [
        "queue former left the table and is still there, with 0 messages and 0 consumers",
        "queue watcher may still receive what left the table: report.gone of panda.requests",
    ]
    sentences, removed = upgrade.prune(broker_url, [FORMER, GONE])
    assert sentences == [
        "binding of report.former of panda.requests to queue former is removed",
        "queue former is deleted",
        "binding of report.gone of panda.requests to queue watcher is removed",
    ]
    assert removed == [FORMER, GONE]
    assert waiting(broker_url, "former") == -1
    assert declared.publish([kill()], 10).confirmed  # our own keys are bound as before
    with channel_of(broker_url) as channel:
        channel.basic_publish("panda.requests", "report.gone", b"x")
    assert waiting(broker_url, "watcher") == 1
    assert upgrade.prune(broker_url, [FORMER]) == ([], [FORMER])  # gone already


def test_a_queue_that_is_in_use_is_kept_and_remembered(broker_url: str, declared: BrokerPublisher) -> None:
    declare_former(broker_url)
    with channel_of(broker_url) as channel:
        channel.basic_consume("former", lambda *_: None)
        assert upgrade.prune(broker_url, [FORMER]) == (["queue former is kept: it has 1 consumers"], [])
    put(broker_url, "former", b"x")
    sentences, removed = upgrade.prune(broker_url, [FORMER])
    assert sentences[-1] == "queue former is kept: it holds 1 messages"
    assert removed == []
    assert waiting(broker_url, "former") == 1


def test_the_policy_is_one_that_the_broker_takes(
    services: Services, broker_url: str, declared: BrokerPublisher
) -> None:
    for command in policies.commands(broker_url):
        services.rabbitmq.control(*command)
    vhost = broker_url.rpartition("/")[2]
    lines = services.rabbitmq.control("list_queues", "-p", vhost, "name", "policy").split("\n")
    named = {line.split("\t")[0] for line in lines if line.endswith("panda-fsm")}
    assert named == {queue.name for queue in queues()}


def test_no_broker_is_said_in_a_sentence() -> None:
    with pytest.raises(TransientError, match=r"PANDA_FSM_BROKER_URL: .*Connection refused"):
        upgrade.check("amqp://nobody:nothing@127.0.0.1:1/%2F", [])


def test_the_database_remembers_what_was_declared(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute("SELECT queue, exchange, routing_key FROM broker_binding").fetchall()
    assert {Binding(*row) for row in found} == all_bindings()
    assert broker_bindings.retired(database_url) == []


def test_what_left_the_table_is_retired_by_the_next_migration_and_forgotten_once_pruned(database_url: str) -> None:
    again = min(all_bindings())
    with psycopg.connect(database_url) as connection:
        for one in (FORMER, GONE):
            connection.execute("INSERT INTO broker_binding VALUES (%s, %s, %s)", one)
        connection.execute(
            "UPDATE broker_binding SET retired_at = now() WHERE (queue, exchange, routing_key) = (%s, %s, %s)", again
        )
    migrate(database_url)
    assert broker_bindings.retired(database_url) == [FORMER, GONE]
    broker_bindings.forget(database_url, [FORMER, again])
    assert broker_bindings.retired(database_url) == [GONE]
    migrate(database_url)
    assert broker_bindings.retired(database_url) == [GONE]


def test_no_database_is_said_in_a_sentence() -> None:
    with pytest.raises(TransientError, match="PANDA_FSM_DATABASE_URL"):
        broker_bindings.retired("postgresql://panda:x@127.0.0.1:1/panda")
