"""One background process that outlives us: started in its own session, found again, ended for sure.

A process is remembered by pid, start time and boot, so a pid that the kernel gave to somebody else in
the meantime is never taken for ours and never signalled.
"""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from lab.account import Account

POLL_S = 0.05
FREEZE_S = 1.0
LOG_TAIL_LINES = 25


# Children of ours that may still live. Whoever looks at any daemon collects the exit status of all, so that
# no zombie passes for a living process; a daemon started by one object may well be stopped by another.
_CHILDREN: set[subprocess.Popen[bytes]] = set()


class DaemonError(RuntimeError):
    """A background process did not start, or ended when it should not have."""


class Daemon:
    """A named background process with its identity and its log kept under `directory`."""

    def __init__(self, name: str, directory: Path, log: Path | None = None) -> None:
        self.name = name
        self.log = log or directory / f"{name}.log"
        self._identity_file = directory / f"{name}.pid"

    def start(
        self,
        command: Sequence[str],
        environment: Mapping[str, str],
        *,
        account: Account | None = None,
        cwd: Path | None = None,
    ) -> None:
        """Start the command detached from our terminal, its output appended to the log."""
        self.launch(lambda: self._popen(command, environment, account, cwd))

    def launch(self, start: Callable[[], int]) -> None:
        """Have a process started, whose pid is returned, and take it for ours from now on."""
        if self.is_running:
            raise DaemonError(f"{self.name} runs already as process {self.pid}")
        self.log.parent.mkdir(parents=True, exist_ok=True)
        self.log.touch()
        self._identity_file.write_text(_identity(start()) or "")

    def _popen(
        self, command: Sequence[str], environment: Mapping[str, str], account: Account | None, cwd: Path | None
    ) -> int:
        identity = {} if account is None else account.popen_arguments()
        with self.log.open("ab") as log:
            child = subprocess.Popen(
                list(command),
                env=dict(environment),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                **identity,
            )
        _CHILDREN.add(child)
        return child.pid

    @property
    def pid(self) -> int | None:
        """The process id, or None when our process is gone."""
        _reap()
        try:
            remembered = self._identity_file.read_text()
        except FileNotFoundError:
            return None
        if not remembered:
            return None
        pid = int(remembered.split()[0])
        return pid if _identity(pid) == remembered else None

    @property
    def is_running(self) -> bool:
        """True while the very process we started lives."""
        return self.pid is not None

    def stop(self, signal_number: int = signal.SIGTERM, timeout: float = 30.0) -> None:
        """Ask the process to end and wait; kill it with its children if it does not."""
        pid = self.pid
        if pid is None:
            return
        _send(pid, signal_number)
        if not self.wait(timeout):
            self.kill()

    def kill(self) -> None:
        """End the process and all its children at once, as a crash would."""
        pid = self.pid
        if pid is None:
            return
        family = _frozen(pid)
        identities = {member: _identity(member) for member in family}
        for member in family:
            _send(member, signal.SIGKILL)
        deadline = time.monotonic() + 10.0
        while time.monotonic() < deadline:
            _reap()
            if not any(_identity(member) == identities[member] for member in family if identities[member]):
                return
            time.sleep(POLL_S)
        raise DaemonError(f"{self.name} (process {pid}) survives SIGKILL")

    def wait(self, timeout: float) -> bool:
        """True once the process has ended, False if it still runs after the timeout."""
        deadline = time.monotonic() + timeout
        while self.is_running:
            if time.monotonic() > deadline:
                return False
            time.sleep(POLL_S)
        return True

    def log_tail(self, lines: int = LOG_TAIL_LINES) -> str:
        """The last lines of the log, for error messages."""
        return tail(self.log, lines)


def _reap() -> None:
    """Collect the exit status of our children that have ended."""
    for child in list(_CHILDREN):
        if child.poll() is not None:
            _CHILDREN.discard(child)


def tail(path: Path, lines: int = LOG_TAIL_LINES) -> str:
    """The last lines of a text file, or a note that there is none."""
    if not path.exists():
        return f"({path} does not exist)"
    return "\n".join(path.read_text(errors="replace").splitlines()[-lines:])


def _send(pid: int, signal_number: int) -> None:
    try:
        os.kill(pid, signal_number)
    except ProcessLookupError:
        return


def _stat(pid: int) -> list[str] | None:
    """The fields of /proc/<pid>/stat after the command name; None when gone or a zombie."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return None
    return None if fields[0] in "ZX" else fields


def _frozen(root: int) -> list[int]:
    """The process and all its children, stopped: who runs would make another child while the others are ended."""
    family: list[int] = []
    found = [root]
    while found:
        for member in found:
            _send(member, signal.SIGSTOP)
        deadline = time.monotonic() + FREEZE_S
        while not all(_is_stopped(member) for member in found) and time.monotonic() < deadline:
            time.sleep(POLL_S / 10)
        family += found
        found = [member for member in _descendants(root) if member not in family]
    return family


def _is_stopped(pid: int) -> bool:
    fields = _stat(pid)
    return fields is None or fields[0] in "Tt"


def _identity(pid: int) -> str | None:
    fields = _stat(pid)
    if fields is None:
        return None
    boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    return f"{pid} {fields[19]} {boot}\n"


def _descendants(root: int) -> list[int]:
    """All living children, grandchildren and so on; PostgreSQL's are in sessions of their own."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))) is not None:
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, queue = [], [root]
    while queue:
        children = parents.get(queue.pop(), [])
        found += children
        queue += children
    return found
