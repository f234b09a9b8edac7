"""Processes of a system whose supervisor is gone: found by a mark in their environment, and ended for sure."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

from lab.daemon import POLL_S, DaemonError

VARIABLE = "PANDA_FSM_LAB"
"""In the environment of every process of a system: the run directory that it belongs to."""


def mark(run_dir: Path) -> dict[str, str]:
    """What the environment of a system's processes must hold."""
    return {VARIABLE: str(run_dir)}


def marked(run_dir: Path) -> list[int]:
    """The living processes that carry the mark of this run directory."""
    wanted = f"{VARIABLE}={run_dir}".encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit())
    return [pid for pid in pids if pid != os.getpid() and wanted in _environment(pid)]


def end(run_dir: Path, timeout: float) -> None:
    """Let them finish what they do, and kill those that take too long."""
    for number, within in ((signal.SIGTERM, timeout), (signal.SIGKILL, 10.0)):
        for pid in marked(run_dir):
            _send(pid, number)
        deadline = time.monotonic() + within
        while marked(run_dir):
            if time.monotonic() > deadline:
                break
            time.sleep(POLL_S)
        else:
            return
    raise DaemonError(f"processes of an earlier system survive SIGKILL: {marked(run_dir)}")


def _environment(pid: int) -> list[bytes]:
    """The environment a process was started with; nothing when it has ended, or is somebody else's."""
    try:
        return Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")
    except OSError:
        return []


def _send(pid: int, number: signal.Signals) -> None:
    try:
        os.kill(pid, number)
    except ProcessLookupError:
        return
