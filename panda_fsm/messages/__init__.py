"""Every message that crosses the broker, defined once: fields, limits, routing key."""

from panda_fsm.messages.codec import ACTS_ONCE, KEPT_REQUESTS, AnyMessage, decode, id_of
from panda_fsm.messages.ddm import FilesArrived, FilesFailed, FileToMove, TransferRequested
from panda_fsm.messages.envelope import EVENTS, LARGEST_BODY, REQUESTS, Foreign, Message, cut, made_at, new_message_id
from panda_fsm.messages.facts import BlockClosed, CheckBlock, DeadlinePassed, JobEvent, OutputsAdded, SettleBlock
from panda_fsm.messages.operators import SetPause
from panda_fsm.messages.pilots import PilotReport, ReportState
from panda_fsm.messages.users import (
    MOST_OF_TASK,
    HoldTask,
    JobsOfTask,
    KillJob,
    ReassignJob,
    ReleaseJobs,
    SetPriority,
    SetShare,
    SubmitJobs,
    TellPilot,
    ThrottleJobs,
)

__all__ = [
    "ACTS_ONCE", "EVENTS", "KEPT_REQUESTS", "LARGEST_BODY", "MOST_OF_TASK", "REQUESTS", "AnyMessage", "BlockClosed",
    "CheckBlock", "DeadlinePassed", "FileToMove", "FilesArrived", "FilesFailed", "Foreign", "HoldTask", "JobEvent",
    "JobsOfTask", "KillJob", "Message", "OutputsAdded", "PilotReport", "ReassignJob", "ReleaseJobs", "ReportState",
    "SetPause", "SetPriority", "SetShare", "SettleBlock", "SubmitJobs", "TellPilot", "ThrottleJobs",
    "TransferRequested", "cut", "decode", "id_of", "made_at", "new_message_id",
]  # fmt: skip
