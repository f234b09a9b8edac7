"""Fixtures: services of the engine inside the test, a gateway alone, callers with tokens, a connection to look with."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from command.sites import load
from lab.services import Services
from lab.site import write_lab
from panda_fsm.handler import Service
from panda_fsm.information.models import Kind
from panda_fsm.trouble import Condition
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.clockwork import Clock
from tests.configuring import Configuring
from tests.cric import Cric
from tests.driver import Database
from tests.gateway_http import Caller
from tests.inprocess import InProcess, Outlet, Serve
from tests.isolation import Databases, VirtualHosts
from tests.jedi_door import JediDoor
from tests.processes import Processes
from tests.typed import Run

KEPT = (
    "job", "job_history", "job_archive", "request", "outbox", "audit", "operation", "dead_letter", "pause", "worker",
    "held_task", "cache_file", "jedi_message",
)  # fmt: skip
"""What those who only look add nothing to."""


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A connection to look with."""
    connection = Database(database_url)
    yield connection
    connection.close()


@pytest.fixture
def run(database_url: str, broker_url: str) -> Run:
    """Runs `panda-fsm` with these arguments on this test's services."""
    return Run({"PANDA_FSM_DATABASE_URL": database_url, "PANDA_FSM_BROKER_URL": broker_url})


@pytest.fixture
def serve(database_url: str) -> Iterator[Serve]:
    """In-process services, each with a store of its own."""
    serving: list[InProcess] = []

    def start(service: Service[Any], outlet: Outlet | None = None, timeout_s: float = 30) -> InProcess:
        serving.append(InProcess(database_url, service, outlet, timeout_s))
        return serving[-1]

    yield start
    for one in serving:
        one.close()


@pytest.fixture
def jedi(database_url: str, serve: Serve) -> Iterator[JediDoor]:
    """JEDI at its door."""
    door = JediDoor(database_url, serve)
    yield door
    door.close()


@pytest.fixture
def clock(database_url: str) -> Iterator[Clock]:
    """The daemon's duties, a slice at a time."""
    one = Clock(database_url)
    yield one
    one.close()


@pytest.fixture
def registry(run_dir: Path) -> IsolatedExperiments:
    """The plugins on the laboratory's storages; the usual input is at the site, `far.csv` elsewhere."""
    lab = write_lab(run_dir, "http://127.0.0.1:1")
    factories.store_file(lab.queue_storage, factories.INPUT)
    factories.store_file(lab.source_storage, "far.csv")
    sites = load(lab.sites_file)
    return IsolatedExperiments(sites, LocalCatalogue(sites), Condition(), 30)


@pytest.fixture
def gateway(processes: Processes) -> Processes:
    """A gateway alone: what it publishes stays in the queues."""
    processes.start("gateway")
    processes.wait_until_ready()
    return processes


@pytest.fixture(scope="module")
def shared_gateway(
    request: pytest.FixtureRequest,
    session_dir: Path,
    private_services: Services,
    databases: Databases,
    virtual_hosts: VirtualHosts,
) -> Iterator[Processes]:
    """One for all tests of a module that change nothing; what they read, a fixture of the module writes."""
    private_services.start()
    with databases.fresh() as database_url, virtual_hosts.kept() as broker_url:
        processes = Processes(session_dir / f"shared-{request.path.stem}", database_url, broker_url)
        processes.start("gateway")
        try:
            yield processes
        finally:
            print(processes.log_tails())
            processes.close()


@pytest.fixture
def shared_url(shared_gateway: Processes, services: Services) -> Iterator[str]:
    """Its database; whoever used it changed nothing, so that no test depends on those before."""
    shared_gateway.wait_until_ready()  # a test before may have killed what is behind it
    url = shared_gateway.environment["PANDA_FSM_DATABASE_URL"]
    looking = Database(url)
    query = "SELECT " + ", ".join(f"(SELECT count(*) FROM {table})" for table in KEPT)  # noqa: S608
    before = looking.rows(query)
    yield url
    assert looking.rows(query) == before
    looking.close()


@pytest.fixture
def onlooker(shared_gateway: Processes, shared_url: str) -> Iterator[Caller]:
    """A user's token at the shared gateway."""
    caller = Caller(shared_gateway.gateway_url, "user-1")
    yield caller
    caller.close()


@pytest.fixture
def pilot(gateway: Processes) -> Iterator[Caller]:
    """A pilot's token."""
    caller = Caller(gateway.gateway_url, "pilot-1")
    yield caller
    caller.close()


@pytest.fixture
def user(gateway: Processes) -> Iterator[Caller]:
    """A user's token."""
    caller = Caller(gateway.gateway_url, "user-1")
    yield caller
    caller.close()


@pytest.fixture
def source(monkeypatch: pytest.MonkeyPatch) -> Iterator[Cric]:
    """A CRIC of twenty queues."""
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    one = Cric()
    one.fill(20)
    yield one
    one.close()


@pytest.fixture
def configuring(database_url: str, source: Cric) -> Iterator[Configuring]:
    """The configurator that asks it."""
    one = Configuring(database_url, source.source(Kind.STORAGE), source.source(Kind.QUEUE))
    yield one
    one.close()
