"""Reads a body: the message in it, or what is wrong with it."""

from typing import Annotated, Any

from pydantic import Field, TypeAdapter, ValidationError
from pydantic_core import from_json

from panda_fsm.errors import NewerSchemaError, PoisonError, first_complaint
from panda_fsm.messages.ddm import FilesArrived, FilesFailed, TransferRequested
from panda_fsm.messages.envelope import SCHEMA
from panda_fsm.messages.facts import BlockClosed, CheckBlock, DeadlinePassed, JobEvent, OutputsAdded, SettleBlock
from panda_fsm.messages.pilots import PilotReport
from panda_fsm.messages.users import KillJob, ReassignJob, ReleaseJobs, SubmitJobs, TellPilot, ThrottleJobs

KEPT_REQUESTS = (SubmitJobs, ReleaseJobs, ReassignJob, ThrottleJobs, PilotReport, KillJob, TellPilot)
"""What the gateway keeps in the database until it is handled, so that an emptied broker loses no request."""
ACTS_ONCE = (ReassignJob,)
"""What would act on a job again if it came again, and undo what others have done since."""

AnyMessage = Annotated[
    SubmitJobs
    | ReleaseJobs
    | ReassignJob
    | ThrottleJobs
    | PilotReport
    | KillJob
    | TellPilot
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
_DECODER: TypeAdapter[AnyMessage] = TypeAdapter(AnyMessage)


def decode(body: bytes) -> AnyMessage:
    """The message in `body`. Raises PoisonError with the reason when there is none."""
    try:
        return _DECODER.validate_json(body)
    except ValidationError as error:
        if _is_newer(body):
            raise NewerSchemaError(f"a message of a schema newer than {SCHEMA}: it waits for a newer program") from None
        where, what = first_complaint(error)
        raise PoisonError(f"not a message of schema {SCHEMA}: {where or 'body'}: {what}") from None


def _is_newer(body: bytes) -> bool:
    try:
        content: Any = from_json(body)
    except ValueError:
        return False
    version = content.get("schema_version") if isinstance(content, dict) else None
    return isinstance(version, int) and version > SCHEMA
