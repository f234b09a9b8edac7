"""Background processes of the laboratory: found again, ended with their children, never somebody else's."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from lab import leftovers, ports
from lab.daemon import Daemon, DaemonError
from lab.services import Services

SLEEP = [sys.executable, "-c", "import time; print('up', flush=True); time.sleep(60)"]
STUBBORN = (
    "import signal, subprocess, sys, time\n"
    "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
    "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
    "print(child.pid, flush=True)\n"
    "time.sleep(60)\n"
)


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Daemon]:
    """A daemon that certainly ends with the test."""
    daemon = Daemon("sleeper", tmp_path)
    yield daemon
    daemon.kill()


def _text(entry: Path) -> str:
    try:
        return entry.read_text(errors="replace")
    except OSError:
        return ""


def first_line(daemon: Daemon) -> str:
    """Wait for the first line of the log."""
    deadline = time.monotonic() + 10
    while not (lines := daemon.log.read_text().splitlines()):
        assert time.monotonic() < deadline, "nothing in the log"
        time.sleep(0.02)
    return lines[0]


def test_another_object_finds_and_stops_it(daemon: Daemon, tmp_path: Path) -> None:
    daemon.start(SLEEP, os.environ)
    again = Daemon("sleeper", tmp_path)
    assert again.pid == daemon.pid
    again.stop()
    assert not daemon.is_running


def test_it_has_a_session_of_its_own(daemon: Daemon) -> None:
    daemon.start(SLEEP, os.environ)
    assert daemon.pid is not None
    assert os.getsid(daemon.pid) == daemon.pid


def test_it_is_not_started_twice(daemon: Daemon) -> None:
    daemon.start(SLEEP, os.environ)
    with pytest.raises(DaemonError, match="runs already"):
        daemon.start(SLEEP, os.environ)


def test_a_stubborn_one_is_killed_with_its_children(daemon: Daemon) -> None:
    daemon.start([sys.executable, "-c", STUBBORN], os.environ)
    child = int(first_line(daemon))
    daemon.stop(timeout=0.2)
    assert not daemon.is_running
    assert not Path(f"/proc/{child}/cmdline").exists() or not Path(f"/proc/{child}/cmdline").read_bytes()


def test_one_that_makes_children_all_the_time_leaves_none(daemon: Daemon, tmp_path: Path) -> None:
    """A server that is killed must not leave a child that was born between the look and the kill."""
    breeder = "import os, time\nwhile os.fork(): print(1, flush=True); time.sleep(0.0005)\ntime.sleep(60)"
    for _ in range(3):
        daemon.start([sys.executable, "-c", breeder, str(tmp_path)], os.environ)
        first_line(daemon)
        daemon.kill()
        alive = [entry.parent.name for entry in Path("/proc").glob("[0-9]*/cmdline") if str(tmp_path) in _text(entry)]
        for pid in alive:
            os.kill(int(pid), 9)
        assert not alive


def test_a_reused_pid_is_never_signalled(tmp_path: Path) -> None:
    with subprocess.Popen(SLEEP, stdout=subprocess.DEVNULL) as stranger:
        (tmp_path / "sleeper.pid").write_text(f"{stranger.pid} 1 another-boot\n")
        daemon = Daemon("sleeper", tmp_path)
        assert not daemon.is_running
        daemon.stop()
        daemon.kill()
        assert stranger.poll() is None
        stranger.kill()


def test_ports_are_kept_and_clear_of_outgoing_connections(tmp_path: Path) -> None:
    port = ports.kept(tmp_path, "amqp")
    assert ports.kept(tmp_path, "amqp") == port
    assert ports.FIRST <= port <= ports.LAST < 32768


def test_given_services_are_used_and_left_alone(tmp_path: Path) -> None:
    given = {"PANDA_FSM_DATABASE_URL": "postgresql://db/x", "PANDA_FSM_BROKER_URL": "amqp://mq/x"}
    services = Services(tmp_path, environment=given)
    services.start()
    assert services.database_url == "postgresql://db/x"
    assert services.broker_url == "amqp://mq/x"
    services.stop()
    assert not services.is_running


def test_our_own_addresses_in_the_environment_give_nothing(tmp_path: Path) -> None:
    here = Services(tmp_path / "here", environment={})
    sourced = {"PANDA_FSM_DATABASE_URL": here.database_url, "PANDA_FSM_BROKER_URL": here.broker_url}
    for port in (tmp_path / "here").rglob("*.port"):
        port.write_text("31999\n")
    ours, theirs = Services(tmp_path / "here", sourced), Services(tmp_path / "there", sourced)
    assert ":31999/" in ours.database_url
    assert ":31999/" in ours.broker_url
    assert theirs.database_url == sourced["PANDA_FSM_DATABASE_URL"]
    assert theirs.broker_url == sourced["PANDA_FSM_BROKER_URL"]
    assert not list((tmp_path / "there").rglob("*")), "looking makes nothing"


def test_what_a_dead_supervisor_left_is_found_and_ended(tmp_path: Path) -> None:
    ours, theirs = leftovers.mark(tmp_path / "a"), leftovers.mark(tmp_path / "ab")
    with (
        subprocess.Popen(SLEEP, env={**os.environ, **ours}, stdout=subprocess.PIPE) as left,
        subprocess.Popen(SLEEP, env={**os.environ, **theirs}, stdout=subprocess.PIPE) as stranger,
    ):
        assert left.stdout is not None
        left.stdout.readline()
        assert leftovers.marked(tmp_path / "a") == [left.pid]
        leftovers.end(tmp_path / "a", timeout=10)
        assert leftovers.marked(tmp_path / "a") == []
        assert stranger.poll() is None
        stranger.kill()


def test_a_stubborn_leftover_is_killed(tmp_path: Path) -> None:
    environment = {**os.environ, **leftovers.mark(tmp_path)}
    with subprocess.Popen([sys.executable, "-c", STUBBORN], env=environment, stdout=subprocess.PIPE) as left:
        assert left.stdout is not None
        left.stdout.readline()
        assert len(leftovers.marked(tmp_path)) == 2
        leftovers.end(tmp_path, timeout=0.2)
        assert leftovers.marked(tmp_path) == []
