"""What forms of our own pages send: each brings the seal of its session, and where to go back to."""

from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

from gateway.access.identity import LADDER, VIEWER
from panda_fsm.jobs.drafts import Name

LONGEST_REASON = 300
_HOME = "/ui/"
_OF_OURS = r"^/ui/[A-Za-z0-9_.~!*'(),;:@&=+$/?%\[\]-]*$"
Back = Annotated[str, StringConstraints(max_length=4000, pattern=_OF_OURS)]
"""A page of ours: an address of another host does not begin so."""
Vo = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9_.-]{0,32}$")]


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
