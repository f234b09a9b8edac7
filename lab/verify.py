"""Verifies a finished task: every job where it must be, every file at its destination as catalogued."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lab.site import QUEUE_STORAGE, SOURCE_STORAGE
from lab.workload import JobPlan
from panda_fsm.jobs.states import FileStatus, FileType, State
from plugins.ddm.storage import adler32_of, replica_path

Z_WINDOW_GEV = (80.0, 102.0)


@dataclass
class Verdict:
    """What was found."""

    states: list[str] = field(default_factory=list)
    files_in_place: int = 0
    problems: list[str] = field(default_factory=list)
    spectrum: dict[str, Any] = field(default_factory=dict)
    """Of all jobs that read events, added up here."""
    merged: dict[str, Any] = field(default_factory=dict)
    """As the job that merges made it."""


def verify(plans: Sequence[JobPlan], described: Sequence[dict[str, Any] | None], storages: dict[str, Path]) -> Verdict:
    """Compares what the server says, what was planned and what lies in the storages, which are given by name."""
    verdict = Verdict()
    for plan, job in zip(plans, described, strict=True):
        if job is None:
            verdict.states.append("unknown")
            verdict.problems.append(f"the server does not know job {plan.number} of the task")
            continue
        verdict.states.append(job["jobStatus"])
        verdict.problems += _job_problems(plan, job)
        for file in _products(job):
            _verify_file(verdict, plan, file, storages)
    return verdict


def peak_of(spectrum: dict[str, Any]) -> str:
    """Mean of the merged histogram in the window of the Z boson, and how many pairs it rests on."""
    low, width = spectrum["low_gev"], spectrum["bin_width_gev"]
    bins = [(low + (index + 0.5) * width, count) for index, count in enumerate(spectrum["counts"])]
    window = [(centre, count) for centre, count in bins if Z_WINDOW_GEV[0] < centre < Z_WINDOW_GEV[1]]
    candidates = sum(count for _, count in window)
    mean = sum(centre * count for centre, count in window) / candidates if candidates else 0.0
    return f"{mean:.2f} GeV from {candidates} of {spectrum['pairs']} muon pairs"


def _job_problems(plan: JobPlan, job: dict[str, Any]) -> Iterator[str]:
    if job["jobStatus"] != plan.expected_state:
        why = f"{job['pilotErrorCode']} {job['pilotErrorDiag']}, payload's exit code {job['transExitCode']}"
        yield f"job {job['PandaID']} is {job['jobStatus']}, not {plan.expected_state} ({why})"
    elif plan.exit_code and str(job["transExitCode"]) != str(plan.exit_code):
        yield f"job {job['PandaID']} failed with exit code {job['transExitCode']}, not {plan.exit_code}"


def _products(job: dict[str, Any]) -> list[dict[str, Any]]:
    """Files that must be in place. Of a failed job only the log may have been brought home."""
    kinds = {FileType.OUTPUT, FileType.LOG} if job["jobStatus"] == State.FINISHED else set[FileType]()
    return [file for file in job["files"] if file["type"] in kinds]


def _verify_file(verdict: Verdict, plan: JobPlan, file: dict[str, Any], storages: dict[str, Path]) -> None:
    home = QUEUE_STORAGE if plan.stays(FileType(file["type"])) else SOURCE_STORAGE
    path = replica_path(storages[home], file["scope"], file["lfn"])
    name = f"{file['lfn']} of job {plan.number}"
    if file["destinationSE"] != home or file["status"] != FileStatus.READY:
        verdict.problems.append(f"{name} is {file['status']} at {file['destinationSE']}")
    elif not path.is_file():
        verdict.problems.append(f"{name} is not at its destination {path}")
    elif file["checksum"] != f"ad:{adler32_of(path)}":
        verdict.problems.append(f"{name} has checksum ad:{adler32_of(path)}, the catalogue {file['checksum']}")
    else:
        verdict.files_in_place += 1
        if file["type"] == FileType.OUTPUT and plan.role != "build":
            _merge(verdict.merged if plan.role == "merge" else verdict.spectrum, json.loads(path.read_text()))


def _merge(total: dict[str, Any], part: dict[str, Any]) -> None:
    """Adds one output to the spectrum of the task."""
    if not total:
        total.update({name: part[name] for name in ("low_gev", "bin_width_gev", "pairs", "counts")})
        return
    total["pairs"] += part["pairs"]
    total["counts"] = [a + b for a, b in zip(total["counts"], part["counts"], strict=True)]
