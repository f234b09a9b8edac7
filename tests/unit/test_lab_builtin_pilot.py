"""The built-in pilot: what it understands of a job, and how it is run."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from lab.builtin_pilot_io import Job, PilotError

SPEC: dict[str, Any] = {
    "PandaID": "7",
    "inFiles": "a.csv",
    "scopeIn": "user.lab",
    "ddmEndPointIn": "LAB_B_DATADISK",
    "checksum": "ad:00000001",
    "outFiles": "l.tgz,o.json",
    "scopeOut": "user.lab",
    "ddmEndPointOut": "LOG_DISK,OUT_DISK",
    "logFile": "l.tgz",
    "logGUID": "NULL",
    "scopeLog": "user.log",
}


def _job(**changes: Any) -> Job:
    return Job(SPEC | changes, Path())


def test_log_is_told_from_outputs_wherever_it_stands() -> None:
    job = _job()
    assert [(file.lfn, file.storage) for file in job.outputs()] == [("o.json", "OUT_DISK")]
    log = job.log()
    assert log is not None
    assert (log.lfn, log.scope, log.storage) == ("l.tgz", "user.log", "LOG_DISK")
    assert log.guid not in {"", "NULL"}


def test_absent_lists_are_empty() -> None:
    job = _job(inFiles="NULL", scopeIn=None, ddmEndPointIn="", checksum="", outFiles="", ddmEndPointOut="")
    assert list(job.inputs()) == []
    assert list(job.outputs()) == []
    assert job.log() is None


@pytest.mark.parametrize("name", ["../a", "/etc/passwd", "..", "a\0b"])
def test_names_that_lead_elsewhere_are_refused(name: str) -> None:
    with pytest.raises(PilotError):
        list(_job(inFiles=name).inputs())


def test_a_server_that_does_not_serve_is_said_by_the_exit_code(tmp_path: Path) -> None:
    nobody = ["--url", "http://127.0.0.1:1", "--queue", "Q", "--workdir", str(tmp_path / "work")]
    script = (
        "import lab.builtin_pilot_io as io, lab.builtin_pilot as pilot; io.TRIES = 1; raise SystemExit(pilot.main())"
    )
    done = subprocess.run([sys.executable, "-c", script, *nobody], capture_output=True, text=True, check=False)
    assert done.returncode == os.EX_UNAVAILABLE, done.stderr
    assert "server does not serve" in done.stderr
    assert "0 jobs run" in done.stderr


def test_it_tells_how_to_run_it() -> None:
    command = [sys.executable, "-m", "lab.builtin_pilot", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0
    assert "--token-file" in done.stdout
