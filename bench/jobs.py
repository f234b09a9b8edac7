"""The jobs of the benchmark: one input, one output and one log each, and what pilots say of them."""

import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from jedi.specs import FILE_IDS
from lab.site import QUEUE, QUEUE_STORAGE, SOURCE_STORAGE, VO
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.drafts import FileDraft, JobDraft
from panda_fsm.messages import PilotReport, SubmitJobs
from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES
from plugins.ddm.storage import replica_path

BUNCH = 100
SCOPE = "user.bench"
CONTENT = b"what a payload reads or writes\n"
CHECKSUM = f"{zlib.adler32(CONTENT):08x}"
OWNER = "bench|user"
_SUBMISSION = Path(__file__).parent.parent / "tests" / "data" / "submit-2.2.0.json"
_PILOT: dict[str, str | int | float] = {
    "site_name": QUEUE, "node": "wn042.bench", "scheduler_id": "bench", "pilot_id": "bench|slurm|PR|3.11.5.1",
    "timestamp": "2026-11-22T23:11:57+00:00", "core_count": 1, "cpu_consumption_unit": "s+AMD EPYC 1024 KB+AVX2",
}  # fmt: skip
_ENDED: dict[str, str | int | float] = {
    "cpu_consumption_time": 17, "cpu_conversion_factor": 1.0, "pilot_timing": "0|1|5|2|0|3", "mean_core_count": 1,
    "pilot_error_code": 0, "trans_exit_code": 0, "exe_error_code": 0,
}  # fmt: skip


def names(number: int) -> tuple[str, str, str]:
    """LFNs of the input, the output and the log of a job."""
    return f"bench.{number}.events.csv", f"bench.{number}.spectrum.json", f"bench.{number}.log.tgz"


def draft(
    job_id: int,
    task_id: int,
    destination: str = QUEUE_STORAGE,
    *,
    site: str = QUEUE,
    reads: int | None = None,
    is_jedis: bool = False,
) -> JobDraft:
    """A job as the gateway would make it of a user's submission; it reads its own input, or that of job `reads`.

    One of JEDI's differs by nothing but that, and by JEDI's ids of its files.
    """
    _, written, logged = names(job_id)
    read = names(job_id if reads is None else reads)[0]
    return JobDraft(
        job_id=job_id, job_definition_id=1, jobset_id=1, task_id=task_id, attempt_nr=1, name=f"bench.{job_id}",
        vo=VO, site=site, label="user", user="bench", priority=1000, core_count=1, max_walltime=3600,
        destination=destination,
        spec={
            "transformation": "http://127.0.0.1/trf/user/pair_mass.py", "job_parameters": f"-i {read} -o {written}",
            "processing_type": "panda-client", "prod_user_name": "bench", "destination_se": destination,
            "max_attempt": 1, "n_events": 1000, "working_group": "bench", "resource_type": "SCORE",
        } | ({FILE_IDS: _file_ids(job_id, task_id)} if is_jedis else {}),
        is_jedis=is_jedis,
        files=[
            FileDraft(type="input", lfn=read, scope=SCOPE, dataset="user.bench.events", size=len(CONTENT),
                      checksum=f"ad:{CHECKSUM}"),
            FileDraft(type="output", lfn=written, scope=SCOPE, dataset="user.bench.spectra",
                      destination_block="user.bench.spectra", destination=destination),
            FileDraft(type="log", lfn=logged, scope=SCOPE, dataset="user.bench.logs",
                      destination_block="user.bench.logs", destination=destination),
        ],
    )  # fmt: skip


def _file_ids(job_id: int, task_id: int) -> dict[str, list[int]]:
    """Task, dataset, file and attempt, as JEDI numbers them."""
    return {str(seq): [task_id, 3 * task_id + seq, 3 * job_id + seq, 1] for seq in range(3)}


def submissions(drafts: Sequence[JobDraft], bunch: int) -> list[Outgoing]:
    """The drafts in bunches, each a message."""
    return [
        Outgoing.of(SubmitJobs(owner=OWNER, jobs=list(drafts[start : start + bunch])))
        for start in range(0, len(drafts), bunch)
    ]


def stored_files(number: int) -> str:
    """What a pilot says of the files it stored, as JSON text."""
    _read, written, logged = names(number)
    return json.dumps(
        {
            lfn: {
                "guid": f"306CCD0D-397F-4E50-B9A4-{index}{number:011d}", "fsize": len(CONTENT), "adler32": CHECKSUM,
                "surl": f"file://localhost/bench/{lfn}", "endpoint": QUEUE_STORAGE,
            }
            for index, lfn in enumerate((written, logged))
        }
    )  # fmt: skip


def http_submissions(numbers: Sequence[int], task_id: int) -> list[bytes]:
    """The same jobs as the real panda-client 2.2.0 submits them, in bunches; a number stands for the PandaID to be."""
    template = json.loads(json.loads(_SUBMISSION.read_text())["jobs"])[0]
    sent = [_as_client_sends(template, number, task_id) for number in numbers]
    return [
        json.dumps({"jobs": json.dumps(sent[start : start + BUNCH])}).encode() for start in range(0, len(sent), BUNCH)
    ]


def _as_client_sends(template: list[Any], number: int, task_id: int) -> list[Any]:
    job = list(template)
    values = {"jobName": f"bench.{number}", "destinationSE": QUEUE_STORAGE, "taskID": task_id, "jediTaskID": task_id}
    for name, value in values.items():
        job[JOB_ATTRIBUTES.index(name)] = value
    job[-1] = [list(file) for file in template[-1]]
    for file, lfn, dataset in zip(job[-1], names(number), ("events", "spectra", "logs"), strict=True):
        is_input = dataset == "events"
        values = {
            "lfn": lfn, "scope": SCOPE, "dataset": f"user.bench.{dataset}",
            "prodDBlock": f"user.bench.{dataset}" if is_input else "NULL",
            "destinationDBlock": "NULL" if is_input else f"user.bench.{dataset}",
            "destinationSE": "NULL" if is_input else QUEUE_STORAGE,
            "fsize": len(CONTENT) if is_input else "NULL", "checksum": f"ad:{CHECKSUM}" if is_input else "NULL",
        }  # fmt: skip
        for name, value in values.items():
            file[FILE_ATTRIBUTES.index(name)] = value
    return job


def report_fields(job_id: int, number: int, state: str) -> dict[str, Any]:
    """A pilot's report by the names of the present HTTP interface."""
    fields: dict[str, Any] = {"job_id": job_id, "job_status": state, "attempt_nr": 1, **_PILOT}
    return fields | _ENDED | {"job_output_report": stored_files(number)} if state == "finished" else fields


def reports(job_id: int) -> list[Outgoing]:
    """Starting, running, finished: the least that a pilot reports, as messages."""
    said = [
        PilotReport(job_id=job_id, attempt_nr=1, state="starting", attributes=_PILOT),
        PilotReport(job_id=job_id, attempt_nr=1, state="running", attributes=_PILOT),
        PilotReport(
            job_id=job_id, attempt_nr=1, state="finished", attributes={**_PILOT, **_ENDED},
            output_report=stored_files(job_id),
        ),
    ]  # fmt: skip
    return [Outgoing.of(one) for one in said]


def lay_inputs(storage: Path, job_ids: Sequence[int]) -> None:
    """Put the jobs' inputs on a storage."""
    for path in (replica_path(storage, SCOPE, names(job_id)[0]) for job_id in job_ids):
        _write(path)


def lay_outputs(storage: Path, job_ids: Sequence[int]) -> None:
    """Put the jobs' outputs and logs on a storage, as a pilot does before its last report."""
    for job_id in job_ids:
        for lfn in names(job_id)[1:]:
            _write(replica_path(storage, SCOPE, lfn))


def output_places(storage: Path, job_ids: Sequence[int]) -> Iterator[Path]:
    """Where outputs and logs must lie once they are at home."""
    return (replica_path(storage, SCOPE, lfn) for job_id in job_ids for lfn in names(job_id)[1:])


def home_of(moving: bool) -> str:
    """The storage that outputs belong to: elsewhere when they must move."""
    return SOURCE_STORAGE if moving else QUEUE_STORAGE


def _write(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(CONTENT)
