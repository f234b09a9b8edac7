"""What everybody is answered, as models for the API document.

Tests hold real answers against them; nothing of them runs when a request is answered.
"""

from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field

Scalar = str | int | float
JobId = Annotated[int, Field(ge=1)]


class Answer(BaseModel):
    """Holds what it names and nothing else."""

    model_config = ConfigDict(extra="forbid")


class OpenAnswer(BaseModel):
    """Holds what it names, and more where there is more."""

    model_config = ConfigDict(extra="allow")


class Envelope(Answer):
    """What holds every answer in the new convention."""

    success: Literal[True]
    message: str


class Done(Envelope):
    """It worked, and there is nothing more to say."""

    data: None


class Refused(Answer):
    """It did not work, nothing was changed: `message` says why, in a sentence."""

    success: Literal[False]
    message: str
    data: None


class Alive(Answer):
    """The process answers."""

    status: Literal["ok"]


class Ready(OpenAnswer):
    """Whether the gateway can do its part ("not ready": 503), and those behind it theirs ("degraded").

    With `?verbose`, or if not all is well: what is wrong with what, and what is accepted all the same.
    """

    status: Literal["ok", "degraded", "not ready"]
