"""Runs every service of one machine as a process of its own; starts again what dies, ends all on SIGTERM."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from types import FrameType

import structlog

from command.parent import VARIABLE
from panda_fsm.trouble import Backoff

log = structlog.get_logger()

_LOOK_S = 0.1
_RESTART_S = (0.2, 10.0)
_LONG_S = 10.0
"""Who lived so long did not fail at start."""
_STOP_S = 30.0
_OWN_FAULTS = frozenset(
    {signal.SIGSEGV, signal.SIGBUS, signal.SIGILL, signal.SIGFPE, signal.SIGABRT, signal.SIGSYS, signal.SIGPROF}
)
"""Signals that a process brings upon itself: starting it again at once would only repeat them."""


@dataclass(slots=True)
class _Child:
    """A service and its present process; `due_at` is when the next one starts while there is none."""

    service: str
    process: subprocess.Popen[bytes] | None = None
    started_at: float = 0.0
    due_at: float = 0.0
    backoff: Backoff = field(default_factory=lambda: Backoff(*_RESTART_S))


class Supervisor:
    """`panda-fsm serve NAME` for each name. Who was killed is back at once, who ends by itself ever more slowly."""

    def __init__(self, services: Sequence[str]) -> None:
        self._children = [_Child(service) for service in services]
        self._ending = False

    def run(self) -> None:
        """Until SIGTERM, SIGINT or SIGHUP."""
        for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
            signal.signal(number, self._end)
        while not self._ending:
            for child in self._children:
                self._tend(child)
            time.sleep(_LOOK_S)
        self._stop_all()

    def _tend(self, child: _Child) -> None:
        now = time.monotonic()
        if child.process is not None and child.process.poll() is not None:
            self._bury(child, child.process, now)
        if child.process is None and now >= child.due_at and not self._ending:
            self._start(child, now)

    def _start(self, child: _Child, now: float) -> None:
        command = [sys.executable, "-m", "command", "serve", child.service]
        environment = {**os.environ, VARIABLE: str(os.getpid())}
        try:
            # A session of its own: Ctrl-C in the terminal must reach us only, so that we stop them in order.
            child.process = subprocess.Popen(command, env=environment, start_new_session=True)
        except OSError as error:  # the machine has no memory or no process left: those that live must not suffer
            child.due_at = now + child.backoff.next_s()
            log.error("not_started", process=child.service, error=str(error))
            return
        child.started_at = now
        log.info("started", process=child.service, pid=child.process.pid)

    def _bury(self, child: _Child, process: subprocess.Popen[bytes], now: float) -> None:
        """Note when the next one starts."""
        code, wait_s = process.returncode, 0.0
        if code >= 0 or -code in _OWN_FAULTS:  # one that ends well all the time serves nobody either
            if now - child.started_at > _LONG_S:
                child.backoff.reset()
            wait_s = child.backoff.next_s()
        child.process, child.due_at = None, now + wait_s
        log.warning("died", process=child.service, pid=process.pid, exit_code=code, again_in_s=round(wait_s, 1))

    def _stop_all(self) -> None:
        alive = [child.process for child in self._children if child.process is not None]
        for process in alive:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
        deadline = time.monotonic() + _STOP_S
        for process in alive:
            try:
                process.wait(max(0.1, deadline - time.monotonic()))
            except subprocess.TimeoutExpired:
                log.error("killed", pid=process.pid)
                process.kill()
        log.info("stopped")

    def _end(self, _signal: int, _frame: FrameType | None) -> None:
        self._ending = True
