"""What JEDI sends to the queue `jedi.requests`: one model a request; what a model does not name is ignored."""

from typing import Annotated, Any, Literal, Self

from pydantic import (
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    TypeAdapter,
    model_validator,
)

from panda_fsm.jobs.drafts import Id, Name, Priority, Text
from panda_fsm.specs.values import absent_to_none

MOST_JOBS = 500
MOST_BYTES = 1024 * 1024
"""Of a request, when it is unpacked."""
MOST_IDS = 1000
MOST_RESERVED = 5000
MOST_TASKS = 100
MOST_PAGED = 500
LONGEST_MESSAGE_ID = 128
QUEUE = "jedi.requests"


def _no_truth(value: Any) -> Any:
    """Else true is number one, and somebody's first job is killed."""
    if isinstance(value, bool):
        raise ValueError("must be a number")
    return value


Number = BeforeValidator(_no_truth)
MessageId = Annotated[
    str, StringConstraints(min_length=1, max_length=LONGEST_MESSAGE_ID, pattern=r"^[^\x00-\x1f\x7f]*$")
]
ReplyTo = Annotated[str, StringConstraints(max_length=255, pattern=r"^[^\x00-\x1f\x7f]*$")]
TaskId = Annotated[int, Field(ge=1, le=2**62), Number]
Vo = Annotated[str, StringConstraints(max_length=32, pattern=r"^[A-Za-z0-9_.\-]*$")]
JobIds = Annotated[list[Annotated[Id, Number]], Field(min_length=1, max_length=MOST_IDS, fail_fast=True)]


class RefusedError(Exception):
    """Why a request is refused, where only who answers it finds out."""


class Request(BaseModel):
    """What every request carries. `msg_id` names it: the same again is the same request, and is answered the same.

    `reply_to`: the queue of the answer; instead of it the broker's property of that name. Without one nothing is
    answered.
    """

    model_config = ConfigDict(extra="ignore")

    msg_type: str
    schema_version: Annotated[Literal[1], Number] = Field(default=1, validation_alias="schema")
    msg_id: MessageId
    reply_to: ReplyTo | None = None
    vo: Vo | None = None


class ReserveIds(Request):
    """A block of PandaIDs for jobs to come, the sender's for ever."""

    msg_type: Literal["reserve_ids"] = "reserve_ids"
    count: Annotated[int, Field(ge=1, le=MOST_RESERVED), Number]


class SubmitJobs(Request):
    """Jobs by JobSpec's names, their files in `Files` by FileSpec's, with JEDI's ids; what is null may be left out.

    `user`: whose the task is. `to_pending`: they wait until they are released. Each job may have `oldpandaids`: those
    that it does again or merges, as `relationtype` says. Jobs are checked one by one: a wrong one spoils no other.
    """

    msg_type: Literal["submit_jobs"] = "submit_jobs"
    taskid: TaskId | None = None
    user: Name = ""
    fqans: list[Text] | None = None
    relationtype: Annotated[str, StringConstraints(max_length=64, pattern=r"^[A-Za-z0-9_\-]*$")] | None = None
    to_pending: bool = False
    jobs: Annotated[list[Any], Field(min_length=1, max_length=MOST_JOBS)]


class ReleaseJobs(Request):
    """Pending jobs may go."""

    msg_type: Literal["release_jobs"] = "release_jobs"
    jobids: JobIds


class KillJobs(Request):
    """Jobs are to end. Codes: 50, 51 (to be submitted anew), 52 (at once); options as those of HTTP's `job/kill`."""

    msg_type: Literal["kill_jobs"] = "kill_jobs"
    jobids: JobIds
    code: Annotated[int, Field(ge=0, le=999), Number] = 50
    comment: str | None = None
    kill_options: Annotated[list[str], Field(max_length=50)] | None = None


class SetPriority(Request):
    """All live jobs of a task get this priority."""

    msg_type: Literal["set_priority"] = "set_priority"
    taskid: TaskId
    priority: Annotated[Priority, Number]


class SetShare(Request):
    """All live jobs of a task, or of each of several, get this global share."""

    msg_type: Literal["set_share"] = "set_share"
    taskid: TaskId | None = None
    taskids: Annotated[list[TaskId], Field(min_length=1, max_length=MOST_TASKS)] | None = None
    gshare: Annotated[Name, StringConstraints(min_length=1, strip_whitespace=True), BeforeValidator(absent_to_none)]

    @model_validator(mode="after")
    def _one_way(self) -> Self:
        if (self.taskid is None) == (self.taskids is None):
            raise ValueError("names either taskid or taskids")
        return self


class HoldTask(Request):
    """No pilot gets a job of the task until it is resumed, whatever becomes ready meanwhile."""

    msg_type: Literal["hold_task"] = "hold_task"
    taskid: TaskId


class ResumeTask(Request):
    """Pilots get jobs of the task again."""

    msg_type: Literal["resume_task"] = "resume_task"
    taskid: TaskId


class Replay(Request):
    """The state of jobs is told again, in pages: of those that were told of after `since`, of a task, of these.

    `after`: what the page before called `next`.
    """

    msg_type: Literal["replay"] = "replay"
    since: Annotated[int, Field(ge=0, le=2**63 - 1), Number] | None = None
    taskid: TaskId | None = None
    jobids: JobIds | None = None
    limit: Annotated[int, Field(ge=1, le=MOST_PAGED), Number] = MOST_PAGED
    after: Annotated[str, StringConstraints(max_length=64, pattern=r"^[0-9\-]*$")] | None = None

    @model_validator(mode="after")
    def _one_question(self) -> Self:
        if sum(one is not None for one in (self.since, self.taskid, self.jobids)) != 1:
            raise ValueError("asks by one of since, taskid and jobids")
        return self


AnyRequest = Annotated[
    ReserveIds | SubmitJobs | ReleaseJobs | KillJobs | SetPriority | SetShare | HoldTask | ResumeTask | Replay,
    Field(discriminator="msg_type"),
]
REQUEST: TypeAdapter[AnyRequest] = TypeAdapter(AnyRequest)
