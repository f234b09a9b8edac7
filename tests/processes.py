"""Runs real panda-fsm processes for a test: started, stopped, killed and restarted by name."""

from __future__ import annotations

import os
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

from command.compose import NAMES
from lab import ports
from lab.daemon import Daemon, DaemonError
from lab.site import LabFiles, write_lab
from tests.nursery import NURSERY

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = Path(sys.executable).parent / "panda-fsm"
# Requests to ourselves never go through a proxy that the environment may name.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class Processes:
    """The processes of one test; each has a name, a log in `directory` and the test's own services."""

    def __init__(self, directory: Path, database_url: str, broker_url: str) -> None:
        self.directory = directory
        directory.mkdir(parents=True, exist_ok=True)
        self.gateway_port = ports.kept(directory, "gateway")
        self.gateway_url = f"http://127.0.0.1:{self.gateway_port}"
        self.lab: LabFiles = write_lab(directory, self.gateway_url)
        self.environment = {
            **os.environ,
            # Hundreds of processes are started: compiled once is enough, whatever is set around us.
            "PYTHONDONTWRITEBYTECODE": "",
            "PANDA_FSM_DATABASE_URL": database_url,
            "PANDA_FSM_BROKER_URL": broker_url,
            "PANDA_FSM_GATEWAY_HOST": "127.0.0.1",
            "PANDA_FSM_GATEWAY_PORT": str(self.gateway_port),
            "PANDA_FSM_SITES_FILE": str(self.lab.sites_file),
            "PANDA_FSM_CACHE_DIR": str(directory / "cache"),
            # Each is an interpreter of its own; with two, one may take long and the others have their turn.
            "PANDA_FSM_DAEMON_PROCESSES": "2",
        }
        self._daemons: dict[str, Daemon] = {}
        # Those that the test has not ended itself: their end is unexpected.
        self._wanted: set[str] = set()
        self._launched: dict[str, tuple[list[str], dict[str, str]]] = {}

    def start(self, service: str, *, name: str | None = None, **settings: str) -> Daemon:
        """Start `panda-fsm serve SERVICE`; a second copy of a service needs a name of its own.

        `settings` are further environment variables, as `PANDA_FSM_BATCH_SIZE="10"`. The service "all" is
        the supervisor with everything.
        """
        argument = "--all" if service == "all" else service
        return self._launch(name or service, ["serve", argument], {**self.environment, **settings})

    def start_each(self) -> None:
        """Start everything without the supervisor, who would have each load all code for itself."""
        for service in NAMES:
            self.start(service)

    def restart(self, name: str) -> Daemon:
        """Start a process again as it was started first, ending it gracefully if it still runs."""
        self._daemons[name].stop()
        return self._launch(name, *self._launched[name])

    def stop(self, name: str) -> None:
        """End a process gracefully."""
        self._wanted.discard(name)
        self._daemons[name].stop()

    def kill(self, name: str) -> None:
        """Crash a process, and its children with it."""
        self._wanted.discard(name)
        self._daemons[name].kill()

    def pid(self, name: str) -> int:
        """The process id, to be signalled; fails when the process has ended."""
        found = self._daemons[name].pid
        assert found is not None, f"{name} has ended"
        return found

    def is_running(self, name: str) -> bool:
        """True while the process lives."""
        return self._daemons[name].is_running

    def log(self, name: str) -> str:
        """All that the process has written so far, over all its lives."""
        return self._daemons[name].log.read_text(errors="replace")

    def wait_until_ready(self, timeout: float = 30.0) -> None:
        """Return once the gateway and all behind it say they are ready."""
        deadline = time.monotonic() + timeout
        while not self._is_ready():
            ended = [name for name in self._wanted if not self.is_running(name)]
            if ended or time.monotonic() > deadline:
                raise DaemonError(f"not ready; ended: {ended}\n{self.log_tails()}")
            time.sleep(0.05)

    def log_tails(self) -> str:
        """The last lines of every log, which pytest shows when the test fails."""
        return "\n".join(f"--- {name} ---\n{daemon.log_tail()}" for name, daemon in self._daemons.items())

    def close(self) -> None:
        """End all processes; what a test stopped half-way is of no further use, so at once."""
        for daemon in self._daemons.values():
            daemon.kill()

    def _launch(self, name: str, arguments: list[str], environment: dict[str, str]) -> Daemon:
        daemon = self._daemons.setdefault(name, Daemon(name, self.directory))
        self._launched[name] = (arguments, environment)
        self._wanted.add(name)
        daemon.launch(lambda: NURSERY.start(arguments, environment, ROOT, daemon.log))
        return daemon

    def _is_ready(self) -> bool:
        try:
            with _OPENER.open(f"{self.gateway_url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False
