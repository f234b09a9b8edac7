"""The whole system on one machine, in the background: services, schema, supervisor, laboratory files.

A run directory holds everything: data, logs, ports and `env`, which a shell can source.
"""

from __future__ import annotations

import fcntl
import os
import shlex
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType

from lab import leftovers, ports
from lab.daemon import Daemon, DaemonError
from lab.definitions import SHARDS
from lab.services import Services
from lab.site import VO, LabFiles, write_lab

ROOT = Path(__file__).resolve().parent.parent
RUN_DIR = ROOT / ".run"
READY_TIMEOUT_S = 60.0
# The supervisor gives its processes time to finish the batch in hand.
STOP_TIMEOUT_S = 45.0
# Requests to ourselves never go through a proxy that the environment may name.
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class System:
    """A PanDA system of one run directory; as a context manager it stops only what it started."""

    def __init__(self, run_dir: Path = RUN_DIR) -> None:
        self.run_dir = run_dir.resolve()
        self.services = Services(self.run_dir)
        self._supervisor = Daemon("panda-fsm", self.run_dir, log=self.run_dir / "log" / "panda-fsm.log")
        self._started_services = False
        self._started_supervisor = False

    @property
    def url(self) -> str:
        """Where the gateway listens."""
        return f"http://127.0.0.1:{ports.kept(self.run_dir, 'gateway')}"

    @property
    def lab(self) -> LabFiles:
        """The laboratory's files, written anew for the gateway's present address."""
        return write_lab(self.run_dir, self.url)

    @property
    def env(self) -> dict[str, str]:
        """All that `env` tells: for panda-fsm itself, for the real client and for the real pilot."""
        return {**self._settings(), **self.services.doors, "PANDA_FSM_URL": self.url, **self.lab.env}

    @property
    def is_running(self) -> bool:
        """True while the supervisor lives."""
        return self._supervisor.is_running

    def up(self) -> None:
        """Start what is not running yet and wait until the gateway says it is ready."""
        self.run_dir.mkdir(parents=True, exist_ok=True)
        with self._exclusive():
            try:
                self._start_services()
                self._start_supervisor()
            except BaseException:
                self.stop_started()
                raise

    def down(self) -> None:
        """Stop the supervisor gracefully, then the private services."""
        self._stop_supervisor()
        self.services.stop()

    def stop_started(self) -> None:
        """Stop what this object started; a system that was up before stays up."""
        if self._started_supervisor:
            self._stop_supervisor()
        if self._started_services:
            self.services.stop()
        self._started_supervisor = self._started_services = False

    def wait_until_ready(self, timeout: float = READY_TIMEOUT_S) -> None:
        """Return once the gateway and all behind it are ready; raise with the log's end if not."""
        deadline = time.monotonic() + timeout
        while not self.is_ready():
            if not self.is_running:
                raise DaemonError(f"panda-fsm ended at start:\n{self._supervisor.log_tail()}")
            if time.monotonic() > deadline:
                raise DaemonError(f"not ready after {timeout:.0f} s:\n{self._supervisor.log_tail()}")
            time.sleep(0.1)

    def is_ready(self) -> bool:
        """What the gateway itself says of its readiness."""
        try:
            with _OPENER.open(f"{self.url}/readyz", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, OSError):
            return False

    def _start_services(self) -> None:
        self._started_services = not self.services.is_running
        self.services.start()

    def _start_supervisor(self) -> None:
        if not self._supervisor.is_running:
            # What an earlier supervisor left would go on working beside us, and keep our port.
            leftovers.end(self.run_dir, STOP_TIMEOUT_S)
            ports.for_start(self.run_dir, "gateway")
            environment = {**os.environ, **self._settings(), **leftovers.mark(self.run_dir)}
            self._write_env()
            _migrate(environment)
            self._started_supervisor = True
            self._supervisor.start([*_program(), "serve", "--all"], environment, cwd=ROOT)
        self.wait_until_ready()

    def _stop_supervisor(self) -> None:
        self._supervisor.stop(timeout=STOP_TIMEOUT_S)
        leftovers.end(self.run_dir, STOP_TIMEOUT_S)

    def _settings(self) -> dict[str, str]:
        return {
            "PANDA_FSM_DATABASE_URL": self.services.database_url,
            "PANDA_FSM_BROKER_URL": self.services.broker_url,
            "PANDA_FSM_GATEWAY_HOST": "127.0.0.1",
            "PANDA_FSM_GATEWAY_PORT": str(ports.kept(self.run_dir, "gateway")),
            "PANDA_FSM_METRICS_PORT": str(ports.METRICS),
            "PANDA_FSM_SITES_FILE": str(self.lab.sites_file),
            "PANDA_FSM_CACHE_DIR": str(self.run_dir / "cache"),
            "PANDA_FSM_JEDI_VOS": VO,
            "PANDA_FSM_JEDI_SHARDS": str(SHARDS),
        }

    def _write_env(self) -> None:
        file = self.run_dir / "env"
        file.touch(mode=0o600)
        lines = [f"export {name}={shlex.quote(value)}" for name, value in sorted(self.env.items())]
        file.write_text("\n".join(["# source this file: it names the running system", *lines, ""]))

    @contextmanager
    def _exclusive(self) -> Iterator[None]:
        """Two `make up` in one clone take turns; the second finds all running."""
        with (self.run_dir / "up.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def __enter__(self) -> System:
        self.up()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop_started()


def _program() -> list[str]:
    """The console script `panda-fsm` of the environment that runs us."""
    return [str(Path(sys.executable).parent / "panda-fsm")]


def _migrate(environment: dict[str, str]) -> None:
    command = [*_program(), "migrate"]
    done = subprocess.run(
        command,
        env=environment,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
    if done.returncode != 0:
        raise DaemonError(f"panda-fsm migrate failed:\n{done.stdout}{done.stderr}")
