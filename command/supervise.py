"""Runs every service of one machine as a process of its own; starts again what dies, ends all on SIGTERM."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from types import FrameType

import structlog

log = structlog.get_logger()

_RESTART_S = (0.2, 10.0)
_STOP_S = 30.0


class Supervisor:
    """`panda-fsm serve NAME` for each name. A process that keeps dying is started ever more slowly."""

    def __init__(self, services: Sequence[str]) -> None:
        self._services = services
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._started: dict[str, float] = {}
        self._delay: dict[str, float] = {}
        self._ending = False

    def run(self) -> None:
        """Until SIGTERM or SIGINT."""
        signal.signal(signal.SIGTERM, self._end)
        signal.signal(signal.SIGINT, self._end)
        for service in self._services:
            self._start(service)
        while not self._ending:
            self._restart_dead()
            time.sleep(0.2)
        self._stop_all()

    def _start(self, service: str) -> None:
        command = [sys.executable, "-m", "panda_fsm", "serve", service]
        # A session of its own: Ctrl-C in the terminal must reach us only, so that we stop them in order.
        self._processes[service] = subprocess.Popen(command, start_new_session=True)
        self._started[service] = time.monotonic()
        log.info("started", process=service, pid=self._processes[service].pid)

    def _restart_dead(self) -> None:
        shortest, longest = _RESTART_S
        for service, process in list(self._processes.items()):
            if process.poll() is None:
                continue
            lived = time.monotonic() - self._started[service]
            delay = self._delay.get(service, shortest)
            if lived < delay:
                continue
            log.warning("died", process=service, pid=process.pid, exit_code=process.returncode)
            self._delay[service] = shortest if lived > longest else min(longest, delay * 2)
            self._start(service)

    def _stop_all(self) -> None:
        for process in self._processes.values():
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + _STOP_S
        for service, process in self._processes.items():
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("killed", process=service, pid=process.pid)
                os.kill(process.pid, signal.SIGKILL)
        log.info("stopped")

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._ending = True
