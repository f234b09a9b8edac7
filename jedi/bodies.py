"""What JEDI is told by itself: the bodies of messages in its status queues, as documents and tests have them."""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Seconds = Annotated[float, Field(description="seconds since 1970, UTC")]
FileOutcome = Literal["finished", "ready", "failed", "nooutput", "skipped", "merging"]
Metric = int | float | str | None


class _Told(BaseModel):
    model_config = ConfigDict(extra="forbid")
    msg_id: str = Field(description="the same when the message comes again")
    schema_version: Literal[1] = Field(1, alias="schema")
    seq: int = Field(description="grows with each message about a job: what is not greater than the last is old")
    timestamp: Seconds


class ToldFile(BaseModel):
    """What became of a file, by the ids that JEDI gave it. `attemptnr` is that of its submission."""

    model_config = ConfigDict(extra="forbid")
    fileid: int | None
    datasetid: int | None
    jeditaskid: int | None
    attemptnr: int | None
    lfn: str
    type: str
    status: FileOutcome
    guid: str | None
    fsize: int
    checksum: str | None
    nevents: int | None
    lumiblocknr: int | None


class JobStatus(_Told):
    """A step of a job, or another site, priority or share in the same state (`prev_status` is `status`)."""

    msg_type: Literal["job_status"] = "job_status"
    jobid: int
    taskid: int
    status: str
    prev_status: str | None = Field(description="null for a new job, and in answers to replay")
    jobsubstatus: str | None = None
    attemptnr: int | None = None
    computingsite: str | None = None
    prodsourcelabel: str | None = None
    modificationhost: str | None = None
    currentpriority: int | None = None
    source: str = Field(description="the service that did it")
    gshare: str | None = Field(None, description="only where it is another now")


class FinalJobStatus(JobStatus):
    """The last status of a job, with all that became of it."""

    final: Literal[True] = True
    starttime: Seconds | None
    endtime: Seconds | None
    piloterrorcode: int
    piloterrordiag: str | None
    exeerrorcode: int
    exeerrordiag: str | None
    superrorcode: int
    superrordiag: str | None
    ddmerrorcode: int
    ddmerrordiag: str | None
    brokerageerrorcode: int
    brokerageerrordiag: str | None
    jobdispatchererrorcode: int
    jobdispatchererrordiag: str | None
    taskbuffererrorcode: int
    taskbuffererrordiag: str | None
    transexitcode: int | None
    inputs: list[str] | None
    job_nevents: int | None
    job_ninputfiles: int
    job_ninputdatafiles: int
    job_noutputdatafiles: int
    job_inputfilebytes: int
    job_outputfilebytes: int
    job_hs06sec: Metric
    metrics: dict[str, Metric] = Field(description="by the names of JobSpec; what is not known is left out")
    files: list[ToldFile]


class SiteActivity(_Told):
    """What happened at a queue in the last minute (requests of pilots for jobs, jobs that pilots spoke of), and what
    runs and waits there. Of queues where there is nothing, nothing is said; `taskid` is 0."""

    msg_type: Literal["site_activity"] = "site_activity"
    taskid: Literal[0] = 0
    site: str
    getjob: int
    updatejob: int
    running: int
    activated: int
    source: str


class DatasetClosed(_Told):
    """A block of outputs holds all it ever will: `block` is the sub block or the dataset itself."""

    msg_type: Literal["dataset_closed"] = "dataset_closed"
    taskid: int
    dataset: str
    datasetid: int | None
    block: str
    number_files: int
    source: str
