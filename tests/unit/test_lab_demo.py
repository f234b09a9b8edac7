"""The demo's parts that need no server: events, payload, job specifications, verification, views."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from command.sites import load
from lab.client_process import job_spec
from lab.event_file import event_file
from lab.pilots import PilotPool, namespace_command
from lab.progress import Hop, Progress, Snapshot, happening
from lab.site import PAYLOAD_DIR, QUEUE, QUEUE_STORAGE, SOURCE_STORAGE, LabFiles, write_lab
from lab.verify import peak_of, verify
from lab.workload import SCOPE, JobPlan, prepare_inputs
from plugins.ddm.storage import adler32_of, replica_path

URL = "http://127.0.0.1:1"


@pytest.fixture
def lab(tmp_path: Path) -> LabFiles:
    return write_lab(tmp_path, URL)


def test_sites_file_is_what_the_server_reads(lab: LabFiles) -> None:
    sites = load(lab.sites_file)
    assert sites.queues[QUEUE].storage == QUEUE_STORAGE
    assert sites.storages[SOURCE_STORAGE].path == str(lab.source_storage)
    assert sites.transformations == str(PAYLOAD_DIR)


def test_laboratory_may_be_written_again(lab: LabFiles, tmp_path: Path) -> None:
    before = lab.sites_file.read_text()
    assert write_lab(tmp_path, URL).sites_file.read_text() == before


def test_same_seed_gives_same_events() -> None:
    assert event_file(seed=3, events=50) == event_file(seed=3, events=50)
    assert event_file(seed=3, events=50) != event_file(seed=4, events=50)


def _run_payload(directory: Path, *extra: str) -> subprocess.CompletedProcess[str]:
    (directory / "in.csv").write_bytes(event_file(seed=1))
    command = [sys.executable, str(PAYLOAD_DIR / "pair_mass.py"), "-i", "in.csv", "-o", "out.json", *extra]
    return subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)


def test_payload_finds_the_z_boson(tmp_path: Path) -> None:
    assert _run_payload(tmp_path).returncode == 0
    spectrum = json.loads((tmp_path / "out.json").read_text())
    assert spectrum["pairs"] == 2000
    assert 90.5 < spectrum["z_mean_gev"] < 91.9
    assert peak_of(spectrum).startswith(("90.", "91."))


def test_payload_fails_as_asked_and_leaves_no_output(tmp_path: Path) -> None:
    assert _run_payload(tmp_path, "--fail", "7").returncode == 7
    assert not (tmp_path / "out.json").exists()


def test_job_has_one_input_one_output_and_a_log(lab: LabFiles) -> None:
    good, bad = prepare_inputs(lab.source_storage, task_id=5, jobs=2, failing=1)
    job = job_spec(good)
    assert [file.type for file in job.Files] == ["input", "output", "log"]
    assert job.Files[0].checksum == f"ad:{adler32_of(replica_path(lab.source_storage, SCOPE, good.input_lfn))}"
    assert good.lfn("spectrum.json") in job.jobParameters
    assert job_spec(bad).jobParameters.endswith("--fail 7")


def _described(plans: Sequence[JobPlan], storage: Path) -> list[dict[str, Any] | None]:
    """What the server would say of the jobs after all went well; the outputs are put in place."""
    jobs: list[dict[str, Any] | None] = []
    for plan in plans:
        files = []
        for kind, suffix in (("output", "spectrum.json"), ("log", "log.tgz")):
            path = replica_path(storage, SCOPE, plan.lfn(suffix))
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text('{"pairs": 1, "low_gev": 0, "bin_width_gev": 2, "counts": [0, 1]}')
            file = {"lfn": path.name, "type": kind, "scope": SCOPE, "status": "ready"}
            files.append(file | {"destinationSE": SOURCE_STORAGE, "checksum": f"ad:{adler32_of(path)}"})
        facts = {"PandaID": plan.number, "jobStatus": "finished", "pilotErrorCode": 0, "pilotErrorDiag": ""}
        jobs.append(facts | {"transExitCode": 0, "files": files})
    return jobs


def test_verification_accepts_what_is_in_place(lab: LabFiles) -> None:
    plans = prepare_inputs(lab.source_storage, 5, jobs=2)
    verdict = verify(plans, _described(plans, lab.source_storage), {SOURCE_STORAGE: lab.source_storage})
    assert verdict.problems == []
    assert verdict.files_in_place == 4
    assert verdict.spectrum["counts"] == [0, 2]


def test_verification_sees_damage(lab: LabFiles) -> None:
    plans = prepare_inputs(lab.source_storage, 5, jobs=4)
    described = _described(plans, lab.source_storage)
    replica_path(lab.source_storage, SCOPE, plans[0].lfn("log.tgz")).write_text("damaged")
    replica_path(lab.source_storage, SCOPE, plans[1].lfn("log.tgz")).unlink()
    assert described[2] is not None
    described[2]["jobStatus"] = "failed"
    described[3] = None
    problems = verify(plans, described, {SOURCE_STORAGE: lab.source_storage}).problems
    assert len(problems) == 4
    for problem, words in zip(
        problems, ("has checksum", "not at its destination", "is failed", "not know"), strict=True
    ):
        assert words in problem


def test_plain_progress_says_only_what_changed() -> None:
    console = Console(width=80, force_terminal=False, record=True, quiet=False)
    with console.capture() as captured, Progress(console, "task", total=2) as progress:
        for states in ({"running": 2}, {"running": 2}, {"finished": 2}):
            progress.show(Snapshot(states), pilots=1)
    lines = [line.split("  ")[-1].strip() for line in captured.get().splitlines()]
    assert lines == ["running 2", "finished 2"]


def test_terminal_progress_draws_states_and_hops() -> None:
    console = Console(width=100, force_terminal=True)
    snapshot = Snapshot({"running": 1}, {"sent→starting": Hop(n=1, p50_ms=1500, p95_ms=2000, p99_ms=2000)})
    with console.capture() as captured, Progress(console, "task", total=2) as progress:
        progress.show(snapshot, pilots=1)
    assert "1.5 s" in captured.get()
    assert happening(snapshot) == "1 computing"


def test_launcher_refuses_to_run_bare() -> None:
    launcher = PAYLOAD_DIR.parent / "launcher.py"
    options = ["--queue", "Q", "--url", URL, "--port", "1", "--queuedata-url", "x", "--storagedata-url", "x"]
    done = subprocess.run(
        [sys.executable, "-P", str(launcher), *options, "--workdir", "/nowhere"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode != 0
    assert done.stderr.startswith("refused")


def test_namespace_hides_the_machine() -> None:
    command = namespace_command()
    if command is None:
        pytest.fail("PID namespaces are not permitted here, so the real pilot cannot be run")
    done = subprocess.run([*command, "ps", "-e", "-o", "pid="], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["1"]


def test_pool_removes_what_a_killed_one_left(lab: LabFiles, tmp_path: Path) -> None:
    left = tmp_path / "pilot" / "999999999" / "pilot-1-x"
    left.mkdir(parents=True)
    PilotPool(lab, URL, tmp_path, size=1)
    assert not left.exists()
