"""What JEDI is answered: a reply for each request, with the outcome of each job."""

from typing import Any, ClassVar, Literal

from pydantic import BaseModel, Field

KillResult = Literal["killed", "kill_requested", "already_final", "not_found", "forbidden"]
ReleaseResult = Literal["released", "already_released", "already_final", "not_found", "forbidden"]


class Reply(BaseModel):
    """What every reply carries: `in_reply_to` is the `msg_id` of the request. Not `ok`: nothing was done, see `error`.

    `msg_type` is the request's with `_reply` behind it.
    """

    is_noted: ClassVar[bool] = True
    """Whether the same request is answered the same; else it is looked at anew."""

    msg_type: str
    schema_version: Literal[1] = Field(default=1, serialization_alias="schema")
    msg_id: str = ""
    in_reply_to: str = ""
    taskid: int | None = None
    ok: bool = True
    error: str | None = None


class Refusal(Reply):
    """The request was not understood, or is not allowed; nothing was done."""

    msg_type: str = "request_reply"
    ok: bool = False


class ReserveIdsReply(Reply):
    """PandaIDs that are the sender's from now on."""

    msg_type: Literal["reserve_ids_reply"] = "reserve_ids_reply"
    first: int
    last: int


class SubmittedJob(BaseModel):
    """A job that is stored, now or before: its ids and name, and what the LFNs with templates have become."""

    pandaid: int
    jobdefinitionid: int
    jobsetid: int
    jobname: str
    lfns: dict[str, str] = Field(default_factory=dict)


class RefusedJob(BaseModel):
    """A job that is not stored, and why."""

    error: str
    pandaid: int | None = None


class SubmitJobsReply(Reply):
    """Each job in the order of the request."""

    msg_type: Literal["submit_jobs_reply"] = "submit_jobs_reply"
    results: list[SubmittedJob | RefusedJob]


class KilledJob(BaseModel):
    """What becomes of a job that was to end."""

    jobid: int
    result: KillResult


class KillJobsReply(Reply):
    """Each job in the order of the request, as often as it was named."""

    msg_type: Literal["kill_jobs_reply"] = "kill_jobs_reply"
    results: list[KilledJob]


class ReleasedJob(BaseModel):
    """What becomes of a job that was to be released."""

    jobid: int
    result: ReleaseResult


class ReleaseJobsReply(Reply):
    """Each job in the order of the request, as often as it was named."""

    msg_type: Literal["release_jobs_reply"] = "release_jobs_reply"
    results: list[ReleasedJob]


class JobsOfTask(BaseModel):
    """How many live jobs of JEDI's a task had when that was asked of them; of a task that nobody knows none."""

    taskid: int
    jobs: int


class TasksReply(Reply):
    """What was wanted is asked of all live jobs of these tasks, which are told of one by one as it is done."""

    results: list[JobsOfTask]


class ReplayReply(Reply):
    """Messages as they are in the status queues, each with the `seq` of what was said of its job last. `next`: where to
    go on (`after`); there is none behind the last page."""

    is_noted = False
    msg_type: Literal["replay_reply"] = "replay_reply"
    results: list[dict[str, Any]]
    next: str | None = None


def encode(reply: Reply) -> str:
    """The body, without what is not known."""
    fields: dict[str, Any] = {"by_alias": True, "exclude_none": True}
    return reply.model_dump_json(**fields)
