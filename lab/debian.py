"""Installs missing system packages on Debian when root, else says in one sentence what to install.

Only the standard library is used here: `lab.bootstrap` runs this before the virtual environment exists.
"""

from __future__ import annotations

import fcntl
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

POLICY = Path("/usr/sbin/policy-rc.d")
OUR_POLICY = "#!/bin/sh\n# panda-fsm: nothing starts while it installs packages\nexit 101\n"
LOCK = Path("/run/lock/panda-fsm-apt.lock")


class MissingPackagesError(RuntimeError):
    """The machine lacks packages that this account cannot install."""


@dataclass(frozen=True)
class Need:
    """A Debian package and the test that tells whether what it brings is already there."""

    package: str
    is_met: Callable[[], bool]


def postgres_bin() -> Path | None:
    """The folder with initdb and postgres: the newest in Debian's layout, else what PATH finds."""
    layout = Path("/usr/lib/postgresql").glob("*/bin/initdb")
    versions = sorted((p.parent for p in layout), key=lambda p: float(p.parent.name), reverse=True)
    if versions:
        return versions[0]
    found = shutil.which("initdb")
    return Path(found).resolve().parent if found else None


def rabbitmq_server() -> Path | None:
    """The upstream start script; Debian's wrapper in /usr/sbin refuses every user but its own."""
    upstream = Path("/usr/lib/rabbitmq/bin/rabbitmq-server")
    if upstream.exists():
        return upstream
    found = shutil.which("rabbitmq-server")
    return Path(found).resolve() if found else None


def chromium() -> str | None:
    """The browser."""
    return shutil.which("chromium")


def command(name: str) -> Callable[[], bool]:
    """A test for a command on PATH."""
    return lambda: shutil.which(name) is not None


POSTGRESQL = Need("postgresql", lambda: postgres_bin() is not None)
RABBITMQ = Need("rabbitmq-server", lambda: rabbitmq_server() is not None)
# Tests look at pages with it.
BROWSER = Need("chromium", lambda: chromium() is not None)
# Rules of alerts are tested with its promtool; its server is never started.
PROMETHEUS = Need("prometheus", command("promtool"))
# The pilot runs its payloads with unshare and transfers with curl; it looks at processes with ps.
PILOT_TOOLS = (
    Need("util-linux", command("unshare")),
    Need("curl", command("curl")),
    Need("procps", command("ps")),
)


def ensure(needs: Iterable[Need]) -> None:
    """Install what is missing, or raise MissingPackagesError naming it."""
    wanted = tuple(needs)
    missing = [need.package for need in wanted if not need.is_met()]
    if not missing:
        return
    if os.geteuid() != 0 or shutil.which("apt-get") is None:
        raise MissingPackagesError(f"please install first (as root): apt-get install {' '.join(missing)}")
    print(f"installing {', '.join(missing)} with apt", file=sys.stderr, flush=True)
    with _uninterrupted(), _one_installer(), _services_not_started():
        _apt("update", "-q")
        _apt("install", "-q", "-y", "--no-install-recommends", *missing)
    still = [need.package for need in wanted if not need.is_met()]
    if still:
        raise MissingPackagesError(f"apt installed {', '.join(still)}, yet what we need of it is not found")


def _apt(*arguments: str) -> None:
    """Run apt-get quietly; its output is shown only if it fails."""
    command_line = ["apt-get", "-o", "DPkg::Lock::Timeout=300", *arguments]
    environment = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
    done = subprocess.run(
        command_line,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        start_new_session=True,  # Ctrl-C in the terminal must not reach it either
    )
    if done.returncode != 0:
        raise MissingPackagesError(f"{' '.join(command_line)} failed:\n{done.stdout[-3000:]}")


@contextmanager
def _uninterrupted() -> Iterator[None]:
    """Being told to end waits until the packages are installed: half an installation is worse than a late end."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told: list[int] = []

    def note(number: int, _frame: FrameType | None) -> None:
        told.append(number)
        print("ending once the packages are installed", file=sys.stderr, flush=True)

    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, note) for number in numbers}
    try:
        yield
    finally:
        for number in numbers:
            signal.signal(number, before[number])
        if told:
            signal.raise_signal(told[0])


@contextmanager
def _one_installer() -> Iterator[None]:
    """Clones on one machine take turns, so that none removes the policy that another relies on."""
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@contextmanager
def _services_not_started() -> Iterator[None]:
    """Packages start their server at installation; ours are private, so Debian's policy hook says no.

    The hook forbids starts and restarts only for as long as we install. One that is already there is
    the owner's decision and stays as it is; unless it is ours, left by an installation that was killed.
    """
    if POLICY.exists() and POLICY.read_text() != OUR_POLICY:
        yield
        return
    POLICY.write_text(OUR_POLICY)
    POLICY.chmod(0o755)
    try:
        yield
    finally:
        POLICY.unlink(missing_ok=True)
