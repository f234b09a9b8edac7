"""What forms of our own pages send: each brings the seal of its session, and where to go back to."""

from typing import Annotated, ClassVar, Literal, Self
from uuid import UUID

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from gateway.access.identity import LADDER, VIEWER
from gateway.wire.fields import Flag, JobId
from panda_fsm.information.models import Status
from panda_fsm.jobs.acts import CANCEL, CANCEL_NOW, GIVE_BACK
from panda_fsm.jobs.drafts import Name, Priority
from panda_fsm.specs.values import whole
from panda_fsm.views.operations import BULK

_LONGEST_REASON = 300
_HOME = "/ui/"
_OF_OURS = r"^/ui/[A-Za-z0-9_.~!*'(),;:@&=+$/?%\[\]-]*$"
Back = Annotated[str, StringConstraints(max_length=4000, pattern=_OF_OURS)]
"""A page of ours: an address of another host does not begin so."""
Vo = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,32}$")]


EditedBody = Annotated[str, StringConstraints(max_length=300_000)]
"""A dead letter's body as it was edited; whether it is too long is said by who reads it."""


class Form(BaseModel):
    """A form of a page. Without the seal of the session it is refused before anything is done."""

    model_config = ConfigDict(extra="ignore")

    changes: ClassVar[bool] = True
    """Whether it does something to jobs, queues, tasks...: not where the dashboards only show."""
    seal: Annotated[str, StringConstraints(max_length=200)] = ""
    back: Back = _HOME


class SignIn(Form):
    """Who somebody says that they are."""

    changes = False
    name: Annotated[Name, Field(max_length=60)]
    role: Literal[LADDER] = VIEWER  # type: ignore[valid-type]  # they are those of the ladder, and stand there once
    vo: Vo = ""


class SignOut(Form):
    """The session ends."""

    changes = False


class ActForm(Form):
    """Something is to be done. `key`: made with the page; sent twice with the same one it is done once."""

    key: Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9-]{8,80}$")]
    reason: Annotated[
        str, StringConstraints(strip_whitespace=True, min_length=1, max_length=_LONGEST_REASON,
                               pattern=r"^[^\x00-\x1f\x7f]*$")
    ]  # fmt: skip

    @property
    def bare(self) -> Self:
        """What is asked: the same from another page of the same session."""
        return self.model_copy(update={"seal": "", "back": ""})


class JobForm(ActForm):
    """With a job."""

    job_id: JobId


class KillForm(JobForm):
    """It ends."""

    code: Annotated[Literal[CANCEL, CANCEL_NOW, GIVE_BACK], BeforeValidator(whole)] = CANCEL  # type: ignore[valid-type]


class PriorityForm(JobForm):
    """It comes sooner, or later."""

    priority: Annotated[Priority, BeforeValidator(whole)]


class DebugForm(JobForm):
    """Its pilot shows more, or no more than others."""

    debug: Flag


class PauseForm(ActForm):
    """A queue or a site is paused, for some hours or until it is resumed."""

    name: Annotated[Name, Field(min_length=1)]
    hours: Annotated[Literal[0, 1, 4, 24], BeforeValidator(whole)] = 0


class LiftForm(ActForm):
    """What was set of a PanDA queue counts no more."""

    name: Annotated[Name, Field(min_length=1)]


class StatusForm(LiftForm):
    """The status of a PanDA queue, for some hours or until it is lifted."""

    status: Status
    hours: Annotated[Literal[0, 1, 4, 24], BeforeValidator(whole)] = 0


class TaskForm(ActForm):
    """With a task."""

    task_id: JobId


class LetterForm(ActForm):
    """With a dead letter."""

    letter_id: JobId


class GroupForm(ActForm):
    """With the open letters that died alike. `confirm`: how many they are, where they are many."""

    fingerprint: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{16}$")]
    confirm: Annotated[str, StringConstraints(strip_whitespace=True, max_length=20)] = ""


class CopyForm(Form):
    """An edited copy of a dead letter is to be looked at."""

    letter_id: JobId
    body: EditedBody


class EditForm(LetterForm):
    """It is sent in place of the letter."""

    body: EditedBody


class BulkForm(ActForm):
    """With all jobs that a filter finds. `wanted`: the filter, as in an address; `eligible`: so many were shown, which
    whoever asks for much types again."""

    act: Literal[BULK]  # type: ignore[valid-type]
    wanted: Annotated[str, StringConstraints(max_length=2000)]
    eligible: Annotated[int, Field(ge=0), BeforeValidator(whole)]
    typed: Annotated[str, StringConstraints(max_length=40)] = ""
    code: Annotated[Literal[CANCEL, CANCEL_NOW, GIVE_BACK], BeforeValidator(whole)] = CANCEL  # type: ignore[valid-type]
    priority: Annotated[Priority, BeforeValidator(whole)] = 0


class OperationForm(ActForm):
    """An operation is cancelled."""

    operation_id: UUID
