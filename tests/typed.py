"""`panda-fsm` as people and scripts type it: a process whose output goes into a pipe."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from tests.processes import PROGRAM


class Run:
    """Runs `panda-fsm` with these arguments, on the services of a test."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {**os.environ, **self._addresses, "COLUMNS": "250", **environment}
        return subprocess.run([str(PROGRAM), *arguments], env=known, capture_output=True, text=True, check=False)
