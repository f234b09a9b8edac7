"""What a handler may answer: a closed set of values that process.py turns into one transaction."""

from dataclasses import dataclass, field
from typing import Any

from panda_fsm.drafts import JobDraft
from panda_fsm.events import Message
from panda_fsm.lifecycle import Trigger
from panda_fsm.states import BlockKind, FileStatus


@dataclass(frozen=True, slots=True)
class FileChange:
    """New values for one file of the job; None leaves a value as it is. `block` is a data block's name."""

    seq: int
    status: FileStatus
    block: str | None = None
    guid: str | None = None
    size: int | None = None
    checksum: str | None = None


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A data block to create if it is not there yet; `parent` is the destination block of a sub block."""

    name: str
    kind: BlockKind
    parent: str = ""
    vo: str = ""
    task_id: int = 0
    source: str = ""
    destination: str = ""


@dataclass(frozen=True, slots=True)
class JobError:
    """One error: component as in PanDA (pilot, exe, ddm, task_buffer, job_dispatcher...), code, diagnostic."""

    component: str
    code: int
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is written beside the step: job attributes, files, blocks, and the messages that go out with it.

    `arrived_blocks` names dispatch blocks to close if no file of theirs is pending any more.
    """

    files: tuple[FileChange, ...] = ()
    blocks: tuple[NewBlock, ...] = ()
    arrived_blocks: tuple[str, ...] = ()
    errors: tuple[JobError, ...] = ()
    messages: tuple[Message, ...] = ()
    command: str | None = None
    verdict: str | None = None
    pilot: dict[str, Any] | None = None
    report: dict[str, Any] | None = None


NO_CHANGES = Changes()


@dataclass(frozen=True, slots=True)
class Advance:
    """Move the job by `trigger` and write `changes` with it."""

    trigger: Trigger
    changes: Changes = NO_CHANGES
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """Write `changes` without a step: a heartbeat, a command, outputs registered."""

    changes: Changes = NO_CHANGES


@dataclass(frozen=True, slots=True)
class Create:
    """Create the drafted jobs that do not exist yet."""

    trigger: Trigger
    owner: str
    drafts: list[JobDraft] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CloseBlocks:
    """Close the sub-destination blocks of this job in which no file is unknown."""

    job_id: int


@dataclass(frozen=True, slots=True)
class Emit:
    """Send messages; no job changes."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Ignore:
    """Late or repeated: acknowledge, change nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: come again after a delay that grows; after `tries` it is a dead letter."""

    reason: str
    tries: int = 50


@dataclass(frozen=True, slots=True)
class Reject:
    """It can never be handled: to the dead letters, with the reason."""

    reason: str


Outcome = Advance | Record | Create | CloseBlocks | Emit | Ignore | Wait | Reject


def fail(trigger: Trigger, component: str, code: int, diagnostic: str) -> Advance:
    """Advance by a failing trigger with its one error; the job's unfinished outputs fail with it."""
    error = JobError(component, code, diagnostic)
    return Advance(trigger, Changes(errors=(error,)), detail=diagnostic)
