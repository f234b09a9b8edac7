"""What pilots are answered, by their new names and, flat, by their old ones."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, create_model

from gateway.wire.answers import Answer, Envelope, JobId, OpenAnswer, Scalar
from panda_fsm.jobs.states import State
from panda_fsm.specs.names import words


class PilotRefusalCode(Answer):
    """30: to be repeated, 50: invalid, 70: not allowed."""

    StatusCode: Literal[30, 50, 70]


class RefusedToPilot(Answer):
    """Refused, as pilots read it."""

    success: Literal[False]
    message: str
    data: PilotRefusalCode


class Command(Answer):
    """What the pilot shall do: NULL for nothing, tobekilled to stop."""

    StatusCode: Literal[0]
    command: str


class Heard(Envelope):
    """The report is kept, or noted."""

    data: Command
    command: str = Field("NULL", description="The same, where it is one: some pilots look for it here.")


class HeardEach(Envelope):
    """An answer to each report, in order. One that was not accepted (30) may be sent again."""

    data: list[Heard | RefusedToPilot]


_NUMBERS = words("attemptNr jobsetID jobDefinitionID currentPriority coreCount minRamCount maxDiskCount maxWalltime")
_TEXTS = words("jobName prodSourceLabel jobPars resource_type scopeLog logFile logGUID destinationSE")
_OF_CLIENT = words(
    "taskID processingType prodUserID transformation homepackage swRelease cmtConfig transferType maxCpuCount nucleus"
    " sourceSite cloud"
)
_LISTS = words(
    "inFiles GUID fsize checksum scopeIn realDatasetsIn ddmEndPointIn prodDBlockToken prodDBlocks dispatchDblock"
    " dispatchDBlockToken outFiles scopeOut realDatasets ddmEndPointOut destinationDblock destinationDBlockToken"
    " fileDestinationSE dispatchDBlockTokenForOut"
)
_JOB_FIELDS: dict[str, Any] = {
    "PandaID": (JobId, ...),
    **dict.fromkeys(_NUMBERS, (int, ...)),
    **dict.fromkeys(_TEXTS, (str, ...)),
    **dict.fromkeys(_OF_CLIENT, (Scalar, ...)),
    **dict.fromkeys(_LISTS, (str, ...)),
}


PilotJob: type[BaseModel] = create_model(
    "PilotJob",
    __base__=OpenAnswer,
    __doc__="A job as pilots read it. Memory and disk in MB, time in seconds. Lists are texts with commas, one entry a"
    " file; NULL stands for nothing. Some jobs have more fields.",
    **_JOB_FIELDS,
)


class Acquired(Answer):
    """Jobs, best first."""

    StatusCode: Literal[0]
    jobs: Annotated[list[PilotJob], Field(min_length=1)]  # type: ignore[valid-type]  # made of a list of names


class JobsForPilot(Envelope):
    """Jobs, no more than were asked for."""

    data: Acquired


class JobStatus(Answer):
    """Where a job is; notfound and 0 if there is none."""

    job_id: JobId
    status: State | Literal["notfound"]
    attempt_number: Annotated[int, Field(ge=0)]


class JobStatuses(Envelope):
    """A status for each job, in the order asked."""

    data: list[JobStatus]


class ResourceType(Answer):
    """A class of jobs by cores, and by MB of memory a core; null is no bound."""

    resource_name: str
    mincore: int
    maxcore: int | None
    minrampercore: int | None
    maxrampercore: int | None


class ResourceTypes(Envelope):
    """All there are."""

    data: list[ResourceType]


# Pilots, by the old names: flat.


class RefusedToOldPilot(Answer):
    """Refused, as old pilots read it. 50: invalid, 70: not allowed."""

    StatusCode: Literal[50, 70]
    errorDialog: str


class HeardFlat(Answer):
    """The report is kept, or noted. `command`: NULL for nothing, tobekilled to stop."""

    StatusCode: Literal[0]
    command: str


class NoJobFlat(Answer):
    """There is none for this pilot, or none can be given at the moment: it asks again later."""

    StatusCode: Literal[20]
    errorDialog: str


JobFlat: type[BaseModel] = create_model(
    "JobFlat", __base__=PilotJob, __doc__="A job, and StatusCode 0 beside its fields.", StatusCode=(Literal[0], ...)
)


class StatusesFlat(Answer):
    """States and attempts as texts with commas, in the order asked."""

    StatusCode: Literal[0]
    status: str
    attemptNr: str


class DoneFlat(Answer):
    """It worked."""

    StatusCode: Literal[0]


class ResourceTypesFlat(Answer):
    """A Python list as text."""

    StatusCode: Literal[0]
    Returns: Literal[0]
    ResourceTypes: str


class NoRenewal(Answer):
    """No token is renewed here. Pilots read this as Python: none of true, false and null is in it."""

    StatusCode: Literal[80]
    errorDialog: str
    userProxy: Literal[""]


class NoProxy(Answer):
    """There are no proxies here."""

    StatusCode: Literal[90]
    errorDialog: str


class NotDoneFlat(Answer):
    """It cannot be done: `errorDialog` says why."""

    StatusCode: Literal[30]
    errorDialog: str
