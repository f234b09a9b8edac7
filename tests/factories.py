"""Jobs, files and messages as tests need them: valid unless a test says otherwise."""

from __future__ import annotations

import json
import zlib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from lab.site import QUEUE, QUEUE_STORAGE, SOURCE_STORAGE, VO
from panda_fsm.handler import Delivery, Item
from panda_fsm.jobs.drafts import FileDraft, JobDraft
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.messages import AnyMessage, PilotReport, SubmitJobs
from plugins.ddm.storage import replica_path

OWNER = "lab-user"
CONTENT = b"what the payload wrote"
CHECKSUM = f"ad:{zlib.adler32(CONTENT):08x}"
INPUT = "input.csv"
SCOPE = "user.lab"


def draft(
    job_id: int, *, inputs: tuple[str, ...] = (INPUT,), destination: str = "", blocks_of: str = VO, **fields: Any
) -> JobDraft:
    """A job of one output and one log; `destination` is where its outputs go, "" for where it runs; `blocks_of` names
    the experiment after which their destination blocks are called."""
    values: dict[str, Any] = {"vo": VO, "site": QUEUE, "task_id": 7, "spec": {"transformation": "work.py"}} | fields
    files = [FileDraft(type="input", lfn=lfn, scope=SCOPE, dataset="user.lab.in") for lfn in inputs]
    return JobDraft(job_id=job_id, destination=destination, files=files + output_drafts(job_id, blocks_of), **values)


def output_drafts(job_id: int, blocks_of: str = VO) -> list[FileDraft]:
    """An output and a log, each of a destination block of its own."""
    output, log = output_lfns(job_id)
    common: dict[str, Any] = {"scope": SCOPE, "dataset": "user.lab.out"}
    return [
        FileDraft(type="output", lfn=output, destination_block=f"user.{blocks_of}.output.block", **common),
        FileDraft(type="log", lfn=log, destination_block=f"user.{blocks_of}.log.block", **common),
    ]


def output_lfns(job_id: int) -> tuple[str, str]:
    """The names of a job's output and of its log."""
    return f"out.{job_id}.root", f"log.{job_id}.tgz"


def submit(*drafts: JobDraft, **fields: Any) -> SubmitJobs:
    """A submission of these jobs."""
    return SubmitJobs(owner=OWNER, jobs=list(drafts), **fields)


def entry(**fields: Any) -> dict[str, Any]:
    """What a pilot reports of one stored file."""
    return {"guid": "727E5251-EE36-1F44-8EFB-C8FBA7D9BE52", "fsize": len(CONTENT), "adler32": CHECKSUM[3:]} | fields


def output_report(job_id: int, *lfns: str) -> str:
    """A pilot's JSON of the stored files: output and log, unless others are named."""
    return json.dumps({lfn: entry() for lfn in lfns or output_lfns(job_id)})


def report(job_id: int, state: Any, **fields: Any) -> PilotReport:
    """A pilot's report; a final one lists the files it stored: all if finished, the log if failed."""
    if state == "finished":
        fields = {"output_report": output_report(job_id)} | fields
    elif state == "failed":
        failed = {"pilot_error_code": 1305, "pilot_error_diag": "payload failed"}
        fields = {"output_report": output_report(job_id, output_lfns(job_id)[1]), "attributes": failed} | fields
    return PilotReport(job_id=job_id, state=state, **fields)


def store_path(storage: Path, lfn: str) -> Path:
    """Where a replica lies on a local storage."""
    return replica_path(storage, SCOPE, lfn)


def store_file(storage: Path, lfn: str, content: bytes = CONTENT) -> Path:
    """Puts a replica on a local storage."""
    path = store_path(storage, lfn)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def job(state: State = State.RUNNING, **fields: Any) -> Job:
    """A job in memory, as a consumer gets it."""
    values: dict[str, Any] = {
        "job_id": 1, "state": state, "version": 5, "attempt_nr": 0, "vo": VO, "site": QUEUE, "label": "user",
        "priority": 1000, "task_id": 7, "destination": "", "command": None, "verdict": None, "has_report": False,
        "deadline_at": datetime.now(UTC) + timedelta(hours=1), "entered_at": datetime.now(UTC),
        "created_at": datetime.now(UTC),
    }  # fmt: skip
    return Job(**(values | fields))


def file(seq: int, kind: FileType, lfn: str, status: FileStatus = FileStatus.UNKNOWN, **fields: Any) -> File:
    """A file of job 1 in memory."""
    values: dict[str, Any] = {"scope": SCOPE, "dataset": "user.lab.dataset"} | fields
    return File(job_id=1, seq=seq, type=kind, lfn=lfn, status=status, **values)


def delivery(message: AnyMessage, **fields: Any) -> Delivery:
    """A message as the broker hands it over."""
    values: dict[str, Any] = {
        "tag": 1, "queue": "test", "exchange": message.exchange, "routing_key": message.routing_key
    }  # fmt: skip
    return Delivery(body=message.encode(), **(values | fields))


def item(message: AnyMessage, of: Job | None = None, **fields: Any) -> Item[Any]:
    """A message about a job as a consumer decides it."""
    return Item(delivery(message, **fields), message, of)


__all__ = [
    "CHECKSUM", "CONTENT", "INPUT", "OWNER", "QUEUE", "QUEUE_STORAGE", "SCOPE", "SOURCE_STORAGE", "VO",
    "delivery", "draft", "entry", "file", "item", "job", "output_drafts", "output_lfns", "output_report", "report",
    "store_file", "store_path", "submit",
]  # fmt: skip
