"""Reads a body: the message in it, or what is wrong with it."""

from typing import Annotated, Any
from uuid import UUID

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from panda_fsm.errors import NewerSchemaError, UnreadableError, first_complaint
from panda_fsm.messages.ddm import FilesArrived, FilesFailed, TransferRequested
from panda_fsm.messages.envelope import SCHEMA, Foreign
from panda_fsm.messages.facts import BlockClosed, CheckBlock, DeadlinePassed, JobEvent, OutputsAdded, SettleBlock
from panda_fsm.messages.operators import SetPause
from panda_fsm.messages.pilots import PilotReport
from panda_fsm.messages.users import (
    HoldTask,
    KillJob,
    ReassignJob,
    ReleaseJobs,
    SetPriority,
    SetShare,
    SubmitJobs,
    TellPilot,
    ThrottleJobs,
)

KEPT_REQUESTS = (
    SubmitJobs, ReleaseJobs, ReassignJob, ThrottleJobs, SetPriority, SetShare, PilotReport, KillJob, TellPilot,
    SetPause, HoldTask,
)  # fmt: skip
"""What the gateway keeps in the database until it is handled, so that an emptied broker loses no request."""
ACTS_ONCE = (ReassignJob,)
"""What would act on a job again if it came again, and undo what others have done since."""

_Ours = Annotated[
    SubmitJobs
    | ReleaseJobs
    | ReassignJob
    | ThrottleJobs
    | SetPriority
    | SetShare
    | PilotReport
    | KillJob
    | TellPilot
    | SetPause
    | HoldTask
    | DeadlinePassed
    | FilesArrived
    | FilesFailed
    | JobEvent
    | OutputsAdded
    | TransferRequested
    | CheckBlock
    | BlockClosed
    | SettleBlock,
    Field(discriminator="msg_type"),
]
AnyMessage = _Ours | Foreign
_DECODER: TypeAdapter[AnyMessage] = TypeAdapter(_Ours)


def decode(body: bytes) -> AnyMessage:
    """The message in `body`. Raises UnreadableError with the reason when there is none."""
    try:
        return _DECODER.validate_json(body)
    except ValidationError as error:
        content = _content(body)
        version, message_id = content.get("schema_version"), _id(content)
        if isinstance(version, int) and version > SCHEMA:
            reason = f"a message of a schema newer than {SCHEMA}: it waits for a newer program"
            raise NewerSchemaError(reason, message_id) from None
        where, what = first_complaint(error)
        raise UnreadableError(f"not a message of schema {SCHEMA}: {where or 'body'}: {what}", message_id) from None


def id_of(body: bytes) -> str | None:
    """The id of the message in `body`, whether this program can read the rest or not; None: nobody's message."""
    return _id(_content(body))


def _content(body: bytes) -> dict[str, Any]:
    try:
        content = from_json(body)
    except ValueError:
        return {}
    return content if isinstance(content, dict) else {}


def _id(content: dict[str, Any]) -> str | None:
    try:
        return str(UUID(content["message_id"])) if isinstance(content.get("msg_type"), str) else None
    except (KeyError, ValueError, TypeError, AttributeError):
        return None
