"""The real panda-client, the locked release and older ones, each in a process of its own."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import dataclass
from typing import Any

from lab.bootstrap import CLIENTS
from tests.processes import ROOT, Processes

IMPORTS = """
import json, os, sys
from pandaclient import Client
from pandaclient.FileSpec import FileSpec
from pandaclient.JobSpec import JobSpec
"""


@dataclass(frozen=True)
class Release:
    """Which client: `older` is the name of a lock in tests/clients, the locked one has none."""

    older: str = ""
    native: bool = False
    """1.6 speaks HTTP by the program curl, unless it is told to use Python's own library."""

    def __str__(self) -> str:
        return (self.older or "locked") + ("-native" if self.native else "")

    def run(self, processes: Processes, program: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a program that imports it, with the test's folder as home."""
        environment = processes.environment | processes.lab.env | {"HOME": str(processes.directory)}
        if self.older:
            environment["PYTHONPATH"] = str(CLIENTS / self.older)
        if self.native:
            environment["PANDA_USE_NATIVE_HTTPLIB"] = "1"
        return subprocess.run(
            [sys.executable, "-c", program, *arguments],
            env=environment,
            cwd=processes.directory,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )


LOCKED = Release()
OLDER = sorted(lock.stem for lock in (ROOT / "tests" / "clients").glob("*.lock"))
RELEASES = [LOCKED, *(Release(name, native) for name in OLDER for native in (False, True))]


def panda_client(processes: Processes, script: str, release: Release = LOCKED) -> Any:
    """The `answer` of a script that works with `Client`, `JobSpec` and `FileSpec` of a real panda-client."""
    done = release.run(processes, f"{IMPORTS}\n{script}\nprint(json.dumps(answer, default=str))\n")
    assert done.returncode == 0, done.stdout + done.stderr
    return json.loads(done.stdout.splitlines()[-1])
