"""The states of a job and of its files: the words everything else is written in."""

from enum import StrEnum


class State(StrEnum):
    """Where a job is in its life; the same lower-case word in code, database, messages and API."""

    PENDING = "pending"
    DEFINED = "defined"
    WAITING = "waiting"
    ASSIGNED = "assigned"
    ACTIVATED = "activated"
    THROTTLED = "throttled"
    SENT = "sent"
    STARTING = "starting"
    RUNNING = "running"
    HOLDING = "holding"
    TRANSFERRING = "transferring"
    MERGING = "merging"
    FINISHED = "finished"
    FAILED = "failed"
    CLOSED = "closed"
    CANCELLED = "cancelled"


class Phase(StrEnum):
    """What a state has in common with its neighbours; rules are written for phases, so a new state joins one."""

    PREPARING = "preparing"
    """Not for pilots yet: released, set up, its inputs on their way."""
    READY = "ready"
    """Set up: for the next pilot that fits, or held back from them."""
    WITH_PILOT = "with pilot"
    """A pilot has the job and owes us reports."""
    POST_PROCESSING = "post-processing"
    """The pilot is done or nearly so; outputs are registered and moved."""
    FINAL = "final"
    """Irreversible: JEDI retries with a new PandaID, never by reviving a job."""


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
    MERGING = "merging"
    SKIPPED = "skipped"
    NO_OUTPUT = "nooutput"
    FAILED = "failed"


BUILD = "panda"
"""The label of build jobs: they make libraries, which others read."""
MERGE = "pmerge"
"""The processing type of jobs that are there to merge what others made."""
USER_LABELS = frozenset({"user", BUILD})
"""Jobs of users: what they run, and what builds it."""
PRODUCTION_LABELS = frozenset({"managed", "test"})
"""Jobs of production: their working group's, too, and those whose inputs are kept at the site."""
TO_SET_UP = frozenset({State.DEFINED, State.WAITING})
"""The Setupper looks at them."""
USABLE_INPUT = frozenset({FileStatus.READY, FileStatus.CACHED})
SETTLED_OUTPUT = frozenset({FileStatus.READY, FileStatus.NO_OUTPUT, FileStatus.FAILED, FileStatus.SKIPPED})
