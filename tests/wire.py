"""Jobs as the real client makes them, and as they come back from the database."""

from __future__ import annotations

import json
from typing import Any

from pandaclient.FileSpec import FileSpec
from pandaclient.JobSpec import JobSpec

from gateway.wire.submission import draft
from panda_fsm.descriptions import FileRow, JobDescription
from panda_fsm.jobs.drafts import JobDraft

QUEUES = {"LAB_B"}


def job_spec(**attributes: Any) -> JobSpec:
    """A job as a user's script makes it."""
    job = JobSpec()
    values = {"computingSite": "LAB_B", "VO": "lab", "transformation": "http://x/trf/user/run"} | attributes
    for name, value in values.items():
        setattr(job, name, value)
    return job


def file_spec(**attributes: Any) -> FileSpec:
    """A file of it."""
    file = FileSpec()
    for name, value in ({"type": "output", "lfn": "out.root", "scope": "user.lab"} | attributes).items():
        setattr(file, name, value)
    return file


def drafted(job: JobSpec, job_id: int = 42) -> JobDraft:
    """The draft of a job that went over the wire."""
    sent = json.loads(json.dumps([job.dump_to_json_serializable()], default=str))
    return draft(sent[0], 0, job_id, 77, "Lab User", QUEUES)


def described(job: JobDraft, **columns: Any) -> JobDescription:
    """The draft as it comes back from the database."""
    files = [
        FileRow(seq, f.type, f.lfn, f.scope, f.dataset, f.destination_block, f.destination, f.token, f.guid, f.size,
                f.checksum, f.status)
        for seq, f in enumerate(job.files)
    ]  # fmt: skip
    values = job.model_dump(exclude={"spec", "files", "user"}) | {"user_name": job.user, "state": "sent"} | columns
    return JobDescription(job.job_id, values, job.spec, files)


def whole_job(**attributes: Any) -> JobDraft:
    """A job with two inputs, two outputs and a log."""
    job = job_spec(jobParameters="-i in", prodSourceLabel="user", prodUserID="Lab User", taskID=5, **attributes)
    for number in (1, 2):
        job.addFile(file_spec(type="input", lfn=f"in.{number}", GUID=f"G-{number}", fsize=10, checksum="ad:00000001",
                              dataset="user.lab.in", scope=f"s{number}"))  # fmt: skip
    job.addFile(file_spec(lfn="out.1", destinationDBlock="user.lab.out", dataset="user.lab.out"))
    job.addFile(file_spec(type="log", lfn="log.tgz", scope="user.log", destinationDBlock="user.lab.log"))
    job.addFile(file_spec(lfn="out.2", scope="s9", destinationDBlock="user.lab.out", dispatchDBlockToken="an"))
    return drafted(job)
