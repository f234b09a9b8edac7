"""What pilots ask, in their old camelCase and their new snake_case names alike."""

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, ConfigDict, Field, field_validator

from gateway.wire.fields import JobId, JobIds, NonNegative, Text, Whole, whole

MAX_JOBS_PER_ACQUIRE = 500
MAX_BULK = 1000


class Ask(BaseModel):
    """A request. Fields that nobody reads are ignored: pilots send more each year."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


def _either(new: str, *old: str) -> Any:
    return Field(None, validation_alias=AliasChoices(new, *old))


class AcquireRequest(Ask):
    """A pilot asks for jobs."""

    site_name: Annotated[str, Field(min_length=1, max_length=128)] = Field(
        ..., validation_alias=AliasChoices("site_name", "siteName")
    )
    prod_source_label: Text = _either("prod_source_label", "prodSourceLabel")
    node: Text = None
    computing_element: Text = _either("computing_element", "computingElement")
    memory: NonNegative = _either("memory", "mem")
    disk_space: NonNegative = _either("disk_space", "diskSpace")
    remaining_time: NonNegative = _either("remaining_time", "remainingTime")
    core_count: NonNegative = _either("core_count", "coreCount")
    resource_type: Text = _either("resource_type", "resourceType")
    task_id: NonNegative = _either("task_id", "taskID")
    prod_user_id: Text = _either("prod_user_id", "prodUserID")
    harvester_id: Text = None
    worker_id: Text = None
    scheduler_id: Text = _either("scheduler_id", "schedulerID")
    n_jobs: Annotated[int, Field(ge=1, le=MAX_JOBS_PER_ACQUIRE)] = Field(
        1, validation_alias=AliasChoices("n_jobs", "nJobs")
    )

    @field_validator("n_jobs", mode="before")
    @classmethod
    def _count(cls, value: Any) -> Any:
        number = whole(value)
        return 1 if number is None else number


class UpdateRequest(Ask):
    """The fixed part of a pilot's report; everything else it sends becomes attributes."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)
    job_id: JobId = Field(..., validation_alias=AliasChoices("job_id", "jobId", "PandaID"))
    state: Text = _either("job_status", "state", "jobStatus")
    attempt_nr: NonNegative = _either("attempt_nr", "attemptNr")


class BulkUpdateRequest(Ask):
    """Several reports at once."""

    job_list: Annotated[list[dict[str, Any]], Field(max_length=MAX_BULK)]


class JobStatusRequest(Ask):
    """Which jobs to tell the status of."""

    job_ids: JobIds = Field(..., validation_alias=AliasChoices("job_ids", "ids"))


class WorkerStatusRequest(Ask):
    """A worker says that its pilot started or finished."""

    worker_id: Text = _either("worker_id", "workerID")
    harvester_id: Text = _either("harvester_id", "harvesterID")
    status: Text = None
    site: Text = None
    node_id: Text = None


class WorkerNodeRequest(Ask):
    """A pilot describes the machine it runs on; the description is kept as sent."""

    model_config = ConfigDict(extra="allow")
    site: Annotated[str, Field(min_length=1, max_length=128)]
    host_name: Annotated[str, Field(min_length=1, max_length=256)]


class AccessTokenRequest(Ask):
    """A pilot wants its token renewed."""

    client_name: Text = None
    token_key: Text = None


class DebugModeRequest(Ask):
    """Somebody wants a job's debug mode on or off."""

    job_id: Whole = _either("job_id", "pandaID", "PandaID")
    mode: Any = _either("mode", "modeOn")
