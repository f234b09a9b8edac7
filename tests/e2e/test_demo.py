"""The demo workload: the real panda-client submits, real pilots run, outputs come home with the right checksums."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

import pytest

from lab.demo import run_demo
from lab.pilots import namespaces_permitted
from lab.site import LabFiles
from tests.processes import Processes

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Running:
    """The test's processes as the demo sees a system."""

    url: str
    run_dir: Path
    lab: LabFiles


def test_real_pilots_run_what_the_real_client_submits(processes: Processes, capfd: pytest.CaptureFixture[str]) -> None:
    processes.start("all")
    processes.wait_until_ready()
    system = Running(processes.gateway_url, processes.directory, processes.lab)
    exit_code = run_demo(system, jobs=2, pilots=2, keep_serving=False, json=True, chain=False)
    shown = capfd.readouterr().out
    assert exit_code == 0, shown
    told = json.loads(shown.splitlines()[-1])
    assert (told["jobs"], told["finished"], told["files_in_place"]) == (2, 2, 4)
    assert told["pilot_kind"] == "real" or not namespaces_permitted()
