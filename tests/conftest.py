"""Fixtures: real private services, a fresh database and virtual host per test, real panda-fsm processes.

Nothing is mocked and nothing is skipped: a service that can't be started fails the test.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import settings

from lab.daemon import Daemon
from lab.services import Services
from tests.isolation import NOTHING, Databases, VirtualHosts
from tests.processes import Processes

RUN_DIR = Path(__file__).resolve().parent.parent / ".run"
# A machine that is busy makes no example wrong.
settings.register_profile("any machine", deadline=None)
settings.load_profile("any machine")


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Bytes and long codes may hold a clock or a throw of dice, and tests must be called alike in all processes."""
    is_code = isinstance(val, str) and len(val) > 40 and " " not in val
    return argname if is_code or isinstance(val, bytes) else None


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest test goes first: at the end the others would wait for it."""
    items.sort(key=lambda item: item.path.name != "test_api_document.py")


@pytest.fixture(scope="session")
def session_dir() -> Iterator[Path]:
    """The folder of this test run; those of runs that were killed are swept away, processes included."""
    for stale in RUN_DIR.glob("test-*"):
        if not Path("/proc", stale.name.removeprefix("test-")).exists():
            _sweep(stale)
    directory = RUN_DIR / f"test-{os.getpid()}"
    directory.mkdir(parents=True)
    yield directory
    _sweep(directory)


@pytest.fixture(scope="session")
def private_services(session_dir: Path) -> Iterator[Services]:
    """The services of this test run, whatever the environment names: tests kill and restart them."""
    services = Services(session_dir, environment={})
    services.start()
    yield services
    services.remove()


@pytest.fixture
def services(private_services: Services) -> Services:
    """Both services running, also after a test that left one down."""
    private_services.start()
    return private_services


@pytest.fixture(scope="session")
def databases(private_services: Services) -> Databases:
    """The template that every test's database is a copy of."""
    return Databases(private_services)


@pytest.fixture(scope="session")
def virtual_hosts(private_services: Services) -> VirtualHosts:
    """The pool of unused virtual hosts."""
    return VirtualHosts(private_services)


@pytest.fixture
def database_url(services: Services, databases: Databases) -> Iterator[str]:
    """A fresh, migrated database of this test's own."""
    with databases.fresh() as url:
        yield url


@pytest.fixture
def empty_database_url(services: Services, databases: Databases) -> Iterator[str]:
    """A fresh database that nobody has migrated."""
    with databases.fresh(NOTHING) as url:
        yield url


@pytest.fixture
def broker_url(services: Services, virtual_hosts: VirtualHosts) -> str:
    """A virtual host of this test's own, with nothing in it."""
    return virtual_hosts.fresh()


@pytest.fixture
def run_dir(session_dir: Path, request: pytest.FixtureRequest) -> Path:
    """A folder of this test's own below the test run's."""
    name = "".join(character if character.isalnum() else "-" for character in request.node.name)
    directory = session_dir / name[:80]
    directory.mkdir(exist_ok=True)
    return directory


@pytest.fixture
def processes(run_dir: Path, database_url: str, broker_url: str) -> Iterator[Processes]:
    """Real panda-fsm processes on this test's database and virtual host; all end with the test."""
    running = Processes(run_dir, database_url, broker_url)
    try:
        yield running
    finally:
        print(running.log_tails())
        running.close()


def _sweep(directory: Path) -> None:
    """End what still runs from a test run's folder and delete it."""
    for identity in directory.rglob("*.pid"):
        Daemon(identity.stem, identity.parent).kill()
    Services(directory, environment={}).remove()
    shutil.rmtree(directory, ignore_errors=True)
