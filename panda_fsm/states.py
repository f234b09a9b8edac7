"""The states of a job, a file and a data block: the words everything else is written in."""

from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life; the same lower-case word in code, database, messages and API."""

    PENDING = "pending"
    DEFINED = "defined"
    ASSIGNED = "assigned"
    ACTIVATED = "activated"
    SENT = "sent"
    STARTING = "starting"
    RUNNING = "running"
    HOLDING = "holding"
    TRANSFERRING = "transferring"
    FINISHED = "finished"
    FAILED = "failed"
    CLOSED = "closed"
    CANCELLED = "cancelled"


FINAL = frozenset({State.FINISHED, State.FAILED, State.CLOSED, State.CANCELLED})
"""Irreversible: JEDI retries with a new PandaID, never by reviving a job."""

LIVE = frozenset(State) - FINAL

HELD_BY_PILOT = frozenset({State.SENT, State.STARTING, State.RUNNING})
"""A pilot has the job and owes us reports."""


class FileType(StrEnum):
    """What a file is to its job. Only `input` keeps a job from being activated."""

    INPUT = "input"
    PSEUDO_INPUT = "pseudo_input"
    OUTPUT = "output"
    LOG = "log"


class FileStatus(StrEnum):
    """Where a file is in its life. The Closer waits while any file of a block is `unknown`."""

    UNKNOWN = "unknown"
    PENDING = "pending"
    READY = "ready"
    CACHED = "cached"
    MISSING = "missing"
    TRANSFERRING = "transferring"
    SKIPPED = "skipped"
    NO_OUTPUT = "nooutput"
    FAILED = "failed"


USABLE_INPUT = frozenset({FileStatus.READY, FileStatus.CACHED})
SETTLED_OUTPUT = frozenset({FileStatus.READY, FileStatus.NO_OUTPUT, FileStatus.FAILED, FileStatus.SKIPPED})


class BlockKind(StrEnum):
    """Dispatch blocks carry inputs to a site, sub-destination blocks bring outputs home."""

    DISPATCH = "dispatch"
    DESTINATION = "destination"
    SUB = "sub"
