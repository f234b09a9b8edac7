"""Fixtures of the end-to-end tests: the engine's processes, a driver and a listener on their services."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests import factories
from tests.crowd import Crowd
from tests.driver import Database, Driver
from tests.invariants import Listener
from tests.processes import Processes

CONSUMERS = (
    "setupper", "setupper.submissions", "activator", "watcher", "adder", "closer", "finisher", "ddm", "ddm.blocks",
)  # fmt: skip
ENGINE = (*CONSUMERS, "relay", "daemon")
"""What jobs of the tests go through; heartbeats and large reports have queues of their own, which few tests use."""
APART = ("watcher.heartbeats", "watcher.large", "dead_letters")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A connection to look with."""
    connection = Database(database_url)
    yield connection
    connection.close()


@pytest.fixture
def listener(broker_url: str) -> Listener:
    """Hears everything from the first message on."""
    return Listener(broker_url)


@pytest.fixture
def driver(database_url: str, broker_url: str, processes: Processes, listener: Listener) -> Iterator[Driver]:
    """Submitter and pilots; the input that most jobs share lies at their site."""
    factories.store_file(processes.lab.queue_storage, factories.INPUT)
    playing = Driver(database_url, broker_url, processes.lab.queue_storage)
    yield playing
    playing.close()


@pytest.fixture
def engine(processes: Processes) -> Processes:
    """All services but the gateway, each a process."""
    for service in ENGINE:
        processes.start(service)
    return processes


@pytest.fixture
def gateway(processes: Processes) -> Processes:
    """A gateway alone."""
    processes.start("gateway")
    processes.wait_until_ready()
    return processes


@pytest.fixture
def crowd(processes: Processes, database: Database, database_url: str, listener: Listener) -> Crowd:
    """A user and pilots before a gateway, which the test starts; their input lies at their site."""
    # Names of files have at least five digits of a PandaID; with so many there is no difference.
    database.execute("ALTER SEQUENCE job_id_block RESTART WITH 100001")
    factories.store_file(processes.lab.queue_storage, factories.INPUT)
    return Crowd(processes.gateway_url, database_url, processes.lab.queue_storage)
