"""Runs pilots for a laboratory: real ones in PID namespaces of their own, else the built-in one."""

from __future__ import annotations

import configparser
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import TracebackType
from urllib.parse import urlsplit

from lab.site import QUEUE, LabFiles

LABEL = "user"
LAUNCHER = Path(__file__).with_name("launcher.py")
# Left to itself the real pilot waits two minutes before it repeats a report that did not arrive.
PILOT_SETTINGS = {"update_sleep": "5", "heartbeat": "60"}


@cache
def namespace_command() -> tuple[str, ...] | None:
    """The command that starts a program as process 1 of a PID namespace, None where that is not permitted.

    setpriv makes the kernel end the namespace when the process that started it dies, however it dies.
    """
    unshare = ("unshare", "--pid", "--fork", "--kill-child", "--mount-proc")
    for user in ((), ("--user", "--map-current-user")):
        command = ("setpriv", "--pdeathsig", "KILL", *unshare, *user)
        try:
            subprocess.run([*command, "true"], capture_output=True, timeout=10, check=True)
            return command
        except (OSError, subprocess.SubprocessError):
            continue
    return None


def namespaces_permitted() -> bool:
    """Whether a real pilot may be run here."""
    return namespace_command() is not None


def why_not_real() -> str | None:
    """The reason for which only the built-in pilot can run, None if the real one can."""
    if not namespaces_permitted():
        return "PID namespaces are not permitted here"
    if importlib.util.find_spec("pilot") is None:
        return "the package panda-pilot is not installed"
    return None if shutil.which("curl") else "curl, with which it talks to its server, is not installed"


@dataclass
class _Slot:
    """One place for a pilot; pilots come and go."""

    number: int
    process: subprocess.Popen[bytes] | None = None
    workdir: Path | None = None


class PilotPool:
    """Keeps up to `size` pilots at work while jobs wait for them."""

    def __init__(self, files: LabFiles, url: str, run_dir: Path, size: int, queue: str = QUEUE) -> None:
        self._files, self._url, self._run_dir, self._queue = files, url, run_dir, queue
        self._slots = [_Slot(number) for number in range(1, size + 1)]
        self._reason = why_not_real()
        self._work = run_dir / "pilot" / str(os.getpid())
        _sweep(self._work.parent)
        self.started = 0

    @property
    def kind(self) -> str:
        """What runs: `real` or `built-in`."""
        return "built-in" if self._reason else "real"

    @property
    def remark(self) -> str:
        """One sentence for people: which pilots run and, if not the real ones, why."""
        if self._reason:
            return f"using the built-in pilot, because {self._reason}"
        return "using the real pilot (panda-pilot), each in a PID namespace of its own"

    @property
    def size(self) -> int:
        """The most pilots that run at a time."""
        return len(self._slots)

    @property
    def running(self) -> int:
        """Pilots alive now."""
        return sum(slot.process is not None and slot.process.poll() is None for slot in self._slots)

    def tend(self, waiting: int) -> None:
        """Call about once a second: clears up after ended pilots, starts new ones for `waiting` jobs."""
        for slot in self._slots:
            if slot.process is not None and slot.process.poll() is not None:
                _clear(slot)
            if slot.process is None and waiting > 0:
                self._start(slot)
                waiting -= 1

    def stop(self) -> None:
        """Ends the pilots that this pool started, and with each its whole namespace."""
        for slot in self._slots:
            if slot.process is not None:
                slot.process.kill()
        for slot in self._slots:
            if slot.process is not None:
                _clear(slot)
        shutil.rmtree(self._work, ignore_errors=True)

    def __enter__(self) -> PilotPool:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def _start(self, slot: _Slot) -> None:
        log = self._run_dir / "log"
        self._work.mkdir(parents=True, exist_ok=True)
        log.mkdir(parents=True, exist_ok=True)
        slot.workdir = Path(tempfile.mkdtemp(prefix=f"pilot-{slot.number}-", dir=self._work))
        command = self._built_in(slot.workdir) if self._reason else self._real(slot.workdir)
        with (log / f"pilot-{slot.number}.log").open("ab") as stream:
            slot.process = subprocess.Popen(
                command,
                cwd=slot.workdir,
                env=os.environ | self._files.env | {"HARVESTER_PILOT_CONFIG": str(self._config())},
                stdin=subprocess.DEVNULL,
                stdout=stream,
                stderr=subprocess.STDOUT,
                # Ctrl-C in the terminal is for the pool, which then ends its pilots.
                start_new_session=True,
            )
        self.started += 1

    def _real(self, workdir: Path) -> list[str]:
        address = urlsplit(self._url)
        # -P: the launcher's folder must not come first on the path, as its modules would hide others.
        command = [*(namespace_command() or ()), sys.executable, "-P", str(LAUNCHER)]
        command += ["--queue", self._queue, "--job-label", LABEL, "--workdir", str(workdir)]
        command += ["--url", f"{address.scheme}://{address.hostname}", "--port", str(address.port)]
        command += ["--queuedata-url", f"{self._url}/cache/schedconfig/{{pandaqueue}}.all.json"]
        command += ["--storagedata-url", f"{self._url}/cache/ddmendpoints.json"]
        return [*command, "--input-destination-dir", str(self._files.queue_storage)]

    def _built_in(self, workdir: Path) -> list[str]:
        command = [sys.executable, "-m", "lab.builtin_pilot"]
        command += ["--url", self._url, "--queue", self._queue, "--label", LABEL]
        token = self._files.root / self._files.env["OIDC_AUTH_TOKEN"]
        return [*command, "--workdir", str(workdir), "--token-file", str(token)]

    def _config(self) -> Path:
        """The real pilot's own settings with ours over them; written once."""
        path = self._files.root / "pilot.cfg"
        package = importlib.util.find_spec("pilot")
        if path.exists() or package is None or not package.submodule_search_locations:
            return path
        settings = configparser.ConfigParser()
        settings.read(Path(package.submodule_search_locations[0]) / "util" / "default.cfg")
        settings["Pilot"].update(PILOT_SETTINGS)
        with path.open("w") as stream:
            settings.write(stream)
        return path


def _clear(slot: _Slot) -> None:
    """Reaps the pilot and removes its throw-away folder."""
    if slot.process is not None:
        slot.process.wait()
    if slot.workdir is not None:
        # The kernel may still be ending the namespace's processes, which then leave a file behind: no harm.
        shutil.rmtree(slot.workdir, ignore_errors=True)
    slot.process = slot.workdir = None


def _sweep(work: Path) -> None:
    """Removes what pools left behind whose process was killed; their pilots died with them."""
    for folder in work.glob("*"):
        if not Path("/proc", folder.name).exists():
            shutil.rmtree(folder, ignore_errors=True)
