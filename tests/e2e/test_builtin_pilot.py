"""The demo where the real pilot may not run: the built-in one runs the same jobs, and all others, to the same ends."""

from __future__ import annotations

import json

import pytest

from lab import pilots
from lab.demo import run_demo
from lab.services import Services
from lab.site import VO
from tests.e2e.test_demo import Running
from tests.playing_jedi import jedi_url
from tests.processes import Processes

pytestmark = pytest.mark.e2e


def test_built_in_pilots_run_the_same_jobs(
    processes: Processes, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pilots, "why_not_real", lambda: "this test says so")
    processes.start_each()
    processes.wait_until_ready()
    system = Running(processes.gateway_url, processes.directory, processes.lab)
    exit_code = run_demo(system, jobs=3, pilots=2, keep_serving=False, json=True, failing=1)
    shown = capfd.readouterr().out
    assert exit_code == 0, shown
    told = json.loads(shown.splitlines()[-1])
    assert (told["pilot_kind"], told["finished"], told["failed"]) == ("built-in", 2, 1)
    assert told["chain"] == ["finished", "finished", "finished", "failed", "cancelled", "finished"]


def test_jedi_hands_over_the_same_jobs_and_does_again_what_failed(
    processes: Processes,
    services: Services,
    broker_url: str,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(pilots, "why_not_real", lambda: "this test says so")
    processes.environment["PANDA_FSM_JEDI_VOS"] = VO
    processes.start_each()
    processes.wait_until_ready()
    system = Running(processes.gateway_url, processes.directory, processes.lab)
    url = jedi_url(services, broker_url)
    exit_code = run_demo(system, jobs=3, pilots=2, keep_serving=False, json=True, failing=1, jedi_url=url)
    shown = capfd.readouterr().out
    assert exit_code == 0, shown
    told = json.loads(shown.splitlines()[-1])
    assert (told["source"], told["finished"], told["failed"], told["again"]) == ("JEDI", 3, 0, 1)
    assert told["chain"] == ["finished", "finished", "finished", "failed", "cancelled", "finished"]
