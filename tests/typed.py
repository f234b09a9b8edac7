"""`panda-fsm` as scripts call it: a process whose output goes elsewhere than to a terminal."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Mapping

from tests.nursery import NURSERY
from tests.processes import ROOT


class Run:
    """Runs `panda-fsm` with these arguments, on the services of a test."""

    def __init__(self, addresses: Mapping[str, str]) -> None:
        self._addresses = addresses

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        known = {**os.environ, **self._addresses, "COLUMNS": "250", **environment}
        return NURSERY.run(arguments, known, ROOT)
