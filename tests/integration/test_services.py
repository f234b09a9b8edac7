"""The private services themselves: durable through a crash, apart from each other, gone when stopped."""

from __future__ import annotations

from pathlib import Path

import pika
import psycopg

from lab.services import Services

QUEUE = "survivor"


def publish(broker_url: str) -> None:
    """One confirmed, persistent message in a new quorum queue."""
    connection = pika.BlockingConnection(pika.URLParameters(broker_url))
    channel = connection.channel()
    channel.confirm_delivery()
    channel.queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    # RabbitMQ 3.10 writes the name of a new quorum queue to disk only half a second later; a node that
    # crashes before that comes back with a queue that never finds a leader.
    connection.sleep(1.5)
    channel.basic_publish("", QUEUE, b"42", pika.BasicProperties(delivery_mode=2))
    connection.close()


def fetch(broker_url: str) -> bytes | None:
    """The message, or None if there is none. A node is up before all of its virtual hosts are."""
    parameters = pika.URLParameters(broker_url)
    parameters.connection_attempts, parameters.retry_delay = 60, 0.25
    connection = pika.BlockingConnection(parameters)
    body: bytes | None = connection.channel().basic_get(QUEUE, auto_ack=True)[2]
    connection.close()
    return body


def test_database_survives_a_crash(services: Services, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("CREATE TABLE survivor AS SELECT 42 AS answer")
    services.postgres.kill()
    assert not services.postgres.is_running
    services.postgres.start()
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT answer FROM survivor").fetchone() == (42,)


def test_confirmed_message_survives_a_crash(services: Services, broker_url: str) -> None:
    publish(broker_url)
    services.rabbitmq.kill()
    assert not services.rabbitmq.is_running
    services.rabbitmq.start()
    assert fetch(broker_url) == b"42"


def test_every_test_has_a_database_and_a_virtual_host_of_its_own(
    services: Services, database_url: str, broker_url: str
) -> None:
    with psycopg.connect(database_url) as connection:
        assert connection.execute("SELECT to_regclass('survivor')").fetchone() == (None,)
        assert connection.execute("SELECT count(*) FROM job").fetchone() == (0,)
    assert broker_url.rpartition("/")[2] not in services.broker_url


def test_a_second_clone_runs_beside_and_leaves_nothing(services: Services, run_dir: Path) -> None:
    second = Services(run_dir, environment={})
    try:
        second.start()
        again = Services(run_dir, environment={})
        assert again.postgres.is_running
        assert again.rabbitmq.is_running
        assert second.database_url != services.database_url
        with psycopg.connect(second.database_url) as connection:
            settings = "SELECT current_setting('fsync'), current_setting('synchronous_commit')"
            assert connection.execute(settings).fetchone() == ("on", "on")
        again.stop()
        assert not second.is_running
        assert services.postgres.is_running
        assert services.rabbitmq.is_running
    finally:
        second.remove()
    assert not list(run_dir.rglob("*.pid"))
