"""The field's numbers and words for what went wrong, and the verdict on a job's outputs (docs/semantics.md §2.1)."""

from enum import IntEnum, StrEnum


class Component(StrEnum):
    """Whose error it is; the prefix of an error code in PanDA."""

    PILOT = "pilot"
    EXE = "exe"
    TRANS = "trans"
    SUP = "sup"
    DDM = "ddm"
    BROKERAGE = "brokerage"
    JOB_DISPATCHER = "job_dispatcher"
    TASK_BUFFER = "task_buffer"
    KILL = "kill"
    """A kill that the pilot was asked for: the task buffer's error once the job has ended by it, till then a note."""


class TaskBufferCode(IntEnum):
    """Errors of the server's own book-keeping, kills among them."""

    KILLED = 100
    TRANSFER = 101
    EXPIRED = 102
    ABORTED = 103
    REASSIGNED = 105
    MERGE_FAILED = 113
    FAST_REBROKERAGE = 130


_OF_KILLS = {
    2: TaskBufferCode.EXPIRED,
    4: TaskBufferCode.EXPIRED,
    3: TaskBufferCode.ABORTED,
    8: TaskBufferCode.REASSIGNED,
    10: TaskBufferCode.FAST_REBROKERAGE,
}


def error_of_kill(code: int) -> TaskBufferCode:
    """The error that is noted for a kill code."""
    return _OF_KILLS.get(code, TaskBufferCode.KILLED)


class DispatcherCode(IntEnum):
    """Errors found by watching a job that a pilot has or had."""

    LOST_HEARTBEAT = 100
    RECOVERY_FAILED = 101
    SENT_TIMEOUT = 102
    HOLDING_TIMEOUT = 103
    TRANSFERRING_TIMEOUT = 104


class SupCode(IntEnum):
    """Errors found by comparing what pilots say of themselves."""

    INVALID_BATCH_ID = 1
    WORKER_DONE = 2


class DdmCode(IntEnum):
    """Errors of preparing inputs and of registering outputs."""

    SETUPPER = 100
    ADDER = 200
    DISPATCH = 201
    LOCATION = 203
    GUID = 205


class Verdict(StrEnum):
    """What becomes of a holding job once its outputs were looked at."""

    FINISHED = "finished"
    FAILED = "failed"
    CANCELLED = "cancelled"
