"""What the server sends: replies to requests, and what becomes of jobs. Fields that are not known here are kept."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

FINAL = frozenset({"finished", "failed", "cancelled", "closed"})
"""States that a job does not leave any more."""


class Message(BaseModel):
    """What all messages have. Times are seconds since 1970, UTC; null, or left out, is what nobody knows."""

    model_config = ConfigDict(extra="allow", frozen=True)
    msg_type: str
    msg_id: str = ""


class FileStatus(BaseModel):
    """A file of a job that has come to its end, found by JEDI's own ids; `attemptnr` is as JEDI submitted it."""

    model_config = ConfigDict(extra="allow", frozen=True)
    fileid: int | None = None
    datasetid: int | None = None
    attemptnr: int | None = None
    lfn: str
    type: str
    status: str
    """finished, ready (an input that may be tried again), failed, nooutput, skipped or merging."""
    guid: str | None = None
    fsize: int | None = None
    checksum: str | None = None
    nevents: int | None = None
    lumiblocknr: int | None = None


class JobStatus(Message):
    """A job took a step, or its site, priority or share changed. `seq` grows with each message about a job.

    What is below `final` comes with final states only.
    """

    msg_type: Literal["job_status"] = "job_status"
    seq: int
    taskid: int | None = None
    jobid: int
    status: str
    prev_status: str | None = None
    jobsubstatus: str | None = None
    timestamp: float | None = None
    attemptnr: int | None = None
    computingsite: str | None = None
    prodsourcelabel: str | None = None
    modificationhost: str | None = None
    source: str | None = None
    currentpriority: int | None = None
    gshare: str | None = None
    final: bool = False
    starttime: float | None = None
    endtime: float | None = None
    transexitcode: int | str | None = None
    piloterrorcode: int | None = None
    piloterrordiag: str | None = None
    exeerrorcode: int | None = None
    exeerrordiag: str | None = None
    superrorcode: int | None = None
    superrordiag: str | None = None
    ddmerrorcode: int | None = None
    ddmerrordiag: str | None = None
    brokerageerrorcode: int | None = None
    brokerageerrordiag: str | None = None
    jobdispatchererrorcode: int | None = None
    jobdispatchererrordiag: str | None = None
    taskbuffererrorcode: int | None = None
    taskbuffererrordiag: str | None = None
    metrics: dict[str, Any] | None = None
    files: tuple[FileStatus, ...] = ()


class DatasetClosed(Message):
    """No file of this dataset is still to come: what is in it can be merged."""

    msg_type: Literal["dataset_closed"] = "dataset_closed"
    taskid: int
    dataset: str
    datasetid: int | None = None


class SiteActivity(Message):
    """What went on at a site in the last minute: requests and reports of pilots, jobs that run and that wait."""

    msg_type: Literal["site_activity"] = "site_activity"
    site: str
    getjob: int = 0
    updatejob: int = 0
    running: int = 0
    activated: int = 0


class Reply(Message):
    """The answer to the request `in_reply_to`; with `ok` false nothing was done, and `error` says why."""

    in_reply_to: str
    ok: bool = True
    error: str | None = None
    taskid: int | None = None
    results: list[Any] = []


class Block(BaseModel):
    """PandaIDs granted to us for ever, both ends included."""

    model_config = ConfigDict(frozen=True)
    first: int
    last: int

    def ids(self) -> range:
        """All of them."""
        return range(self.first, self.last + 1)


class JobResult(BaseModel):
    """What became of one job of a submission: its ids and resolved names, or why it was not stored."""

    model_config = ConfigDict(extra="allow", frozen=True)
    pandaid: int | None = None
    jobdefinitionid: int | None = None
    jobsetid: int | None = None
    jobname: str | None = None
    lfns: dict[str, str] = {}
    error: str | None = None


Told = JobStatus | DatasetClosed | SiteActivity
"""What comes on the status queues."""
_MODELS: dict[str, TypeAdapter[Any]] = {
    "job_status": TypeAdapter(JobStatus),
    "dataset_closed": TypeAdapter(DatasetClosed),
    "site_activity": TypeAdapter(SiteActivity),
}


def told(document: dict[str, Any]) -> Told | None:
    """A message of a status queue; None for a kind that is newer than we. Raises ValueError: it cannot be read."""
    model = _MODELS.get(str(document.get("msg_type")))
    if model is None:
        return None
    try:
        found: Told = model.validate_python(document)
    except ValidationError as error:
        raise ValueError(f"{document.get('msg_type')} of job {document.get('jobid')}: {complaints(error)}") from None
    return found


def complaints(error: ValidationError) -> str:
    """What is wrong, in one line."""
    return "; ".join(f"{'.'.join(map(str, one['loc']))}: {one['msg']}" for one in error.errors())
