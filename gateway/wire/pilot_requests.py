"""What pilots ask, in their old camelCase and their new snake_case names alike."""

from typing import Annotated, Any

from pydantic import AliasChoices, BaseModel, BeforeValidator, ConfigDict, Field, field_validator

from gateway.http.decode import decode_json
from gateway.http.refusal import UndecodableError
from gateway.wire import sent
from gateway.wire.fields import (
    Amount,
    Flag,
    JobId,
    JobIds,
    NonNegative,
    OptionalFlag,
    Remark,
    Text,
)
from panda_fsm.specs.values import MAX_BIGINT, absent_to_none, printable, whole

MAX_JOBS_PER_ACQUIRE = 500
MAX_BULK = 1000
MAX_ATTEMPT = 32767
MAX_ASKED = 2000
_FIELDS_OF_REPORTS = 2
"""How deep they stand in a list of reports."""


class Ask(BaseModel):
    """A request. Fields that nobody reads are ignored: pilots send more each year."""

    model_config = ConfigDict(extra="ignore", populate_by_name=True)


def _reports(value: Any) -> Any:
    """A list, or its JSON text as forms have it. Raises ValueError."""
    if not isinstance(value, str):
        return value
    try:
        return decode_json(value, _FIELDS_OF_REPORTS)
    except UndecodableError as error:
        raise ValueError(error.message.replace("the body", "the text", 1)) from None


def _either(new: str, *old: str) -> Any:
    return Field(None, validation_alias=AliasChoices(new, *old))


class AcquireRequest(Ask):
    """A pilot asks for jobs. What decides which is strict; limits that cannot be read or be are adapted."""

    site_name: Annotated[str, Field(min_length=1, max_length=128), BeforeValidator(absent_to_none)] = Field(
        ..., validation_alias=AliasChoices("site_name", "siteName")
    )
    prod_source_label: Text = _either("prod_source_label", "prodSourceLabel")
    node: Remark = None
    computing_element: Remark = _either("computing_element", "computingElement")
    memory: Amount = _either("memory", "mem")
    disk_space: Amount = _either("disk_space", "diskSpace")
    remaining_time: Amount = _either("remaining_time", "remainingTime")
    core_count: Amount = _either("core_count", "coreCount")
    resource_type: Text = _either("resource_type", "resourceType")
    task_id: NonNegative = _either("task_id", "taskID")
    prod_user_id: Text = _either("prod_user_id", "prodUserID")
    background: OptionalFlag = None
    harvester_id: Remark = None
    worker_id: Remark = None
    scheduler_id: Remark = _either("scheduler_id", "schedulerID")
    n_jobs: Annotated[int, sent.number(-MAX_BIGINT, MAX_BIGINT)] = Field(
        1, validation_alias=AliasChoices("n_jobs", "nJobs")
    )

    @field_validator("n_jobs", mode="before")
    @classmethod
    def _count(cls, value: Any) -> int:
        """One unless told otherwise, and no more at once than we give."""
        number = whole(value)
        return 1 if number is None else max(1, min(number, MAX_JOBS_PER_ACQUIRE))


class UpdateRequest(Ask):
    """The fixed part of a pilot's report; everything else it sends becomes attributes."""

    model_config = ConfigDict(extra="allow", populate_by_name=True)
    job_id: JobId = Field(..., validation_alias=AliasChoices("job_id", "jobId", "PandaID"))
    state: Text = _either("job_status", "state", "jobStatus")
    attempt_nr: Annotated[
        Annotated[int, Field(ge=0, le=MAX_ATTEMPT)] | None, BeforeValidator(whole), sent.number(0, MAX_ATTEMPT)
    ] = _either("attempt_nr", "attemptNr")


class BulkUpdateRequest(Ask):
    """Several reports at once; each is read by itself."""

    job_list: Annotated[list[Any], Field(max_length=MAX_BULK), BeforeValidator(_reports), sent.reports(MAX_BULK)] = (
        Field(..., validation_alias=AliasChoices("job_list", "jobList"))
    )


class JobStatusRequest(Ask):
    """Which jobs to tell the status of."""

    job_ids: Annotated[JobIds, Field(max_length=MAX_ASKED), sent.ids(MAX_ASKED)] = Field(
        ..., validation_alias=AliasChoices("job_ids", "ids")
    )


class WorkerStatusRequest(Ask):
    """A worker says that its pilot started or finished."""

    worker_id: Remark = _either("worker_id", "workerID")
    harvester_id: Remark = _either("harvester_id", "harvesterID")
    status: Text = None
    site: Remark = None
    node_id: Remark = None


def _name(value: Any) -> Any:
    value = absent_to_none(value)
    return printable(value, 256).strip() if isinstance(value, str) else value


class WorkerNodeRequest(Ask):
    """A pilot describes the machine it runs on; the description is kept as sent."""

    model_config = ConfigDict(extra="allow")
    site: Annotated[str, Field(min_length=1), BeforeValidator(_name)]
    host_name: Annotated[str, Field(min_length=1), BeforeValidator(_name)]


class AccessTokenRequest(Ask):
    """A pilot wants its token renewed."""

    client_name: Remark = None
    token_key: Remark = None


class DebugModeRequest(Ask):
    """Somebody wants a job's debug mode on or off."""

    job_id: JobId = Field(..., validation_alias=AliasChoices("job_id", "pandaID", "PandaID"))
    mode: Flag = Field(..., validation_alias=AliasChoices("mode", "modeOn"))
