"""What users and JEDI ask."""

from typing import Annotated, Literal

from pydantic import Field, StringConstraints

from panda_fsm.jobs.drafts import Id, JobDraft, Name, Priority, Text
from panda_fsm.messages.envelope import JobMessage, Message, Schema

SUB_STATUS_CHARACTERS = 80
MOST_OF_TASK = 1000
SubStatus = Annotated[str, StringConstraints(max_length=SUB_STATUS_CHARACTERS, pattern=r"^[^\x00-\x1f\x7f]*$")]


class SubmitJobs(Message):
    """Jobs to create. The PandaIDs come with it, so that submitting twice creates once."""

    msg_type: Literal["submit_jobs"] = "submit_jobs"
    owner: Name
    to_pending: bool = False
    jobs: list[JobDraft] = Field(min_length=1, max_length=10_000)

    @property
    def routing_key(self) -> str:
        return "submit"


class ReleaseJobs(Message):
    """JEDI lets pending jobs go."""

    msg_type: Literal["release_jobs"] = "release_jobs"
    jobs: list[Id] = Field(min_length=1, max_length=10_000)
    actor: Name = ""

    @property
    def routing_key(self) -> str:
        return "release"

    @property
    def job_ids(self) -> tuple[int, ...]:
        return tuple(self.jobs)


class ReassignJob(JobMessage):
    """JEDI lets a job go that is pending, or wants one set up anew that no pilot has taken yet.

    A message a job: programs before would set a job up anew because another was locked.
    """

    schema_version: Schema = 2
    msg_type: Literal["reassign_job"] = "reassign_job"
    actor: Name = ""

    @property
    def routing_key(self) -> str:
        return "reassign"


class JobsOfTask(Message):
    """What JEDI wants of jobs of a task, in portions of which few are handled at a time."""

    schema_version: Schema = 2
    jobs: list[Id] = Field(min_length=1, max_length=MOST_OF_TASK)
    actor: Name = ""

    @property
    def job_ids(self) -> tuple[int, ...]:
        return tuple(self.jobs)


class ThrottleJobs(JobsOfTask):
    """JEDI holds activated jobs back from pilots, or lets them go on."""

    msg_type: Literal["throttle_jobs"] = "throttle_jobs"
    throttle: bool = True

    @property
    def routing_key(self) -> str:
        return "throttle" if self.throttle else "unthrottle"

    @property
    def sets(self) -> str:
        return "throttle"


class SetPriority(JobsOfTask):
    """JEDI wants jobs to come sooner, or later."""

    msg_type: Literal["set_priority"] = "set_priority"
    priority: Priority

    @property
    def routing_key(self) -> str:
        return "priority"

    @property
    def sets(self) -> str:
        return "priority"


class SetShare(JobsOfTask):
    """JEDI wants jobs to count for another global share."""

    msg_type: Literal["set_share"] = "set_share"
    gshare: Name

    @property
    def routing_key(self) -> str:
        return "share"

    @property
    def sets(self) -> str:
        return "share"


class HoldTask(Message):
    """No job of the task shall go to a pilot from now on, or all shall again; the key says who it was (ADR 0041)."""

    schema_version: Schema = 2
    msg_type: Literal["hold_task"] = "hold_task"
    task_id: Id
    is_held: bool
    actor: Name = ""
    actor_key: Name | None = None
    reason: Text = ""

    @property
    def routing_key(self) -> str:
        return "hold"


class KillJob(JobMessage):
    """A user or JEDI wants the job gone. Codes: docs/semantics.md §1.3. `actor` is a name, the key says who it was.

    `sub_status`: that of the job once the kill has ended it, instead of the code's own. `keep_unmerged`: jobs whose
    outputs it was to merge wait for another one.
    """

    msg_type: Literal["kill_job"] = "kill_job"
    code: Annotated[int, Field(ge=0, le=999)] = 0
    actor: Name = ""
    actor_key: Name | None = None
    reason: Text = ""
    forced: bool = False
    sub_status: SubStatus | None = None
    keep_unmerged: bool | None = None

    @property
    def routing_key(self) -> str:
        return "kill"


class TellPilot(JobMessage):
    """Somebody wants a pilot told something, or debug mode of its job on or off; None leaves a thing as it is.

    `command` "" takes back what was to be told.
    """

    schema_version: Schema = 2
    msg_type: Literal["tell_pilot"] = "tell_pilot"
    command: Name | None = None
    debug: bool | None = None
    actor: Name = ""

    @property
    def routing_key(self) -> str:
        return "tell"

    @property
    def sets(self) -> str:
        return "debug" if self.command is None else "command"
