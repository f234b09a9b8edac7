"""What the built-in pilot understands of a job."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from panda_fsm.pilot_io import Job, PilotError

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
