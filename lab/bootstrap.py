"""Makes a fresh clone runnable: virtual environment, locked dependencies, the project itself.

Runs with the system's Python and the standard library alone: `python3 -m lab.bootstrap`. Does nothing,
and says nothing, when all is done already.
"""

from __future__ import annotations

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

from lab import debian

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
LOCK = ROOT / "requirements.lock"
JEDI = ROOT / "examples" / "jedi"
CLIENTS = VENV / "clients"
"""Older releases of panda-client, which the tests run beside the locked one: a folder each, for PYTHONPATH."""
OLDEST, FIRST_UNSUPPORTED = (3, 11), (3, 13)


class SetupError(RuntimeError):
    """The set-up can't go on; the message tells what to do."""


def set_up() -> None:
    """Bring the virtual environment up to date with the lock and the project file."""
    (ROOT / ".run").mkdir(exist_ok=True)
    with (ROOT / ".run" / "setup.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        # An environment can't be moved, nor outlive the Python that made it.
        _once("environment", f"{ROOT} {sys.version}", _create_environment)
        _once("dependencies", _digest(LOCK), _install_dependencies)
        _once("project", _digest(ROOT / "pyproject.toml"), _install_project)
        _once("jedi", _digest(JEDI / "pyproject.toml"), _install_jedi)
        for client in sorted((ROOT / "tests" / "clients").glob("*.lock")):
            _once(client.stem, _digest(client), partial(_install_client, client))


def system_packages(for_tests: bool) -> None:
    """Install the Debian packages that are missing: what running the system needs, and what its tests do."""
    needs = list(debian.PILOT_TOOLS)
    if "PANDA_FSM_DATABASE_URL" not in os.environ:
        needs.append(debian.POSTGRESQL)
    if "PANDA_FSM_BROKER_URL" not in os.environ:
        needs.append(debian.RABBITMQ)
    if for_tests:
        needs += [debian.BROWSER, debian.PROMETHEUS]
    debian.ensure(needs)


def _once(step: str, version: str, action: Callable[[], None]) -> None:
    """Take a step unless its stamp says that it was done for this very version."""
    stamp = VENV / f".panda-fsm-{step}"
    if stamp.exists() and stamp.read_text() == version:
        return
    action()
    stamp.write_text(version)


def _create_environment() -> None:
    if not OLDEST <= sys.version_info[:2] < FIRST_UNSUPPORTED:
        raise SetupError(f"Python 3.11 or 3.12 is needed, this is {sys.version.split()[0]}: make PYTHON=python3.11")
    debian.ensure([debian.Need("python3-venv", lambda: importlib.util.find_spec("ensurepip") is not None)])
    print("creating the virtual environment in .venv", file=sys.stderr, flush=True)
    _run(sys.executable, "-m", "venv", "--clear", str(VENV))


def _install_dependencies() -> None:
    print("installing the locked dependencies (a minute or two, once)", file=sys.stderr, flush=True)
    _pip("--require-hashes", "-r", str(LOCK))


def _install_project() -> None:
    # Editable, so that the code runs from the clone, yet with its metadata: plugins are found through
    # entry points. The build backend comes from the lock instead of an isolated, unlocked download.
    _pip("--no-deps", "--no-build-isolation", "-e", str(ROOT))


def _install_jedi() -> None:
    # What the extra `jedi` installs; its dependencies are ours too.
    _pip("--no-deps", "--no-build-isolation", "-e", str(JEDI))


def _install_client(lock: Path) -> None:
    # One environment holds one release. The build backend comes from the lock, as for the project.
    folder = CLIENTS / lock.stem
    shutil.rmtree(folder, ignore_errors=True)
    _pip("--no-deps", "--no-build-isolation", "--require-hashes", "--target", str(folder), "-r", str(lock))


def _pip(*arguments: str) -> None:
    _run(str(VENV / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", *arguments)


def _run(*command: str) -> None:
    """Run a command; its output is shown only if it fails."""
    done = subprocess.run(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise SetupError(f"{' '.join(command)} failed:\n{done.stdout[-3000:]}")


def _digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def main(arguments: list[str]) -> int:
    """Set up; with --system also the Debian packages, with --tests those of the tests too."""
    try:
        set_up()
        if "--system" in arguments or "--tests" in arguments:
            system_packages("--tests" in arguments)
    except (SetupError, debian.MissingPackagesError) as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
