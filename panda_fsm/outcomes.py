"""What a handler may answer: a closed set of values that engine/process.py turns into one transaction."""

from dataclasses import dataclass, field
from typing import Any

from panda_fsm.answers import Answer
from panda_fsm.blocks.states import BlockKind
from panda_fsm.blocks.table import BlockTrigger
from panda_fsm.codes import Component, Verdict
from panda_fsm.held_tasks import TaskHold
from panda_fsm.jobs.drafts import JobDraft
from panda_fsm.jobs.job import NewFile
from panda_fsm.jobs.states import FileStatus
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages.envelope import Message
from panda_fsm.messages.operators import SetPause

NO_BLOCK = ""
"""Instead of a name: the file leaves the block that it is in."""


@dataclass(frozen=True, slots=True)
class FileChange:
    """New values for one file of the job; None leaves a value as it is. `block` is a data block's name, or NO_BLOCK,
    `destination` the storage where the file is to be, or is."""

    seq: int
    status: FileStatus
    block: str | None = None
    guid: str | None = None
    size: int | None = None
    checksum: str | None = None
    destination: str | None = None


@dataclass(frozen=True, slots=True)
class NewBlock:
    """A data block to create if it is not there yet; `parent` is the destination block of a sub block.

    `closes`: of a destination block, that it closes once nothing of it is to come; others are their owners' to close.
    """

    name: str
    kind: BlockKind
    parent: str = ""
    vo: str = ""
    task_id: int = 0
    source: str = ""
    destination: str = ""
    closes: bool = False


@dataclass(frozen=True, slots=True)
class KnownBlock:
    """A block as the database has it: of which kind, whose, and whether files may join it; of one that somebody has in
    hand (`is_held`) that is not known."""

    kind: BlockKind
    vo: str
    takes_files: bool
    is_held: bool = False


@dataclass(frozen=True, slots=True)
class JobError:
    """One error: whose, its code, and a diagnostic for people."""

    component: Component
    code: int
    diagnostic: str


@dataclass(frozen=True, slots=True)
class Changes:
    """What is written beside the step: job attributes, files, blocks, and the messages that go out with it.

    `new_files` are there before `files` are changed. `arrived_blocks` names dispatch blocks to close if no file of
    theirs is pending any more. `command` "" says that there is none any more. `let_go`: it
    waits for a pilot if it is activated. `sample`: how the payload does, for the job's small history; `stdout`: what
    its pilot shows of it; `metadata`: what it says of its outputs at length, before its last words.
    """

    new_files: tuple[NewFile, ...] = ()
    files: tuple[FileChange, ...] = ()
    blocks: tuple[NewBlock, ...] = ()
    arrived_blocks: tuple[str, ...] = ()
    errors: tuple[JobError, ...] = ()
    messages: tuple[Message, ...] = ()
    command: str | None = None
    priority: int | None = None
    gshare: str | None = None
    let_go: bool = False
    verdict: Verdict | None = None
    pilot: dict[str, Any] | None = None
    report: dict[str, Any] | None = None
    sample: dict[str, int] | None = None
    stdout: str | None = None
    metadata: str | None = None


NO_CHANGES = Changes()


@dataclass(frozen=True, slots=True)
class Advance:
    """Move the job by `trigger` and write `changes` with it."""

    trigger: Trigger
    changes: Changes = NO_CHANGES
    detail: str | None = None


@dataclass(frozen=True, slots=True)
class Record:
    """Write `changes` without a step: a heartbeat, a command, outputs registered.

    `renews`: the job was heard of, so where heartbeats count its deadline counts from now.
    """

    changes: Changes = NO_CHANGES
    renews: bool = False


@dataclass(frozen=True, slots=True)
class Create:
    """Create the drafted jobs that do not exist yet."""

    trigger: Trigger
    owner: str
    drafts: list[JobDraft] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class CloseBlocks:
    """Close the blocks of this job, or this block, if no file is unknown in it; and what closes with them."""

    job_id: int | None = None
    block: str = ""


@dataclass(frozen=True, slots=True)
class MoveBlock:
    """The DDM has done with this block what it was asked for."""

    block: str
    trigger: BlockTrigger


@dataclass(frozen=True, slots=True)
class Emit:
    """Send messages; no job changes."""

    messages: tuple[Message, ...]


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue or a site is paused from now on, or is not any more."""

    request: SetPause


@dataclass(frozen=True, slots=True)
class Hold:
    """A task is held from now on, or is not any more."""

    task: TaskHold


@dataclass(frozen=True, slots=True)
class Ignore:
    """Late or repeated: acknowledge, change nothing."""

    reason: str


@dataclass(frozen=True, slots=True)
class Defer:
    """The job cannot go on now: the daemon says its message again after `after_s`, and the job shows the reason.

    `changes`: what is done already.
    """

    reason: str
    after_s: float
    changes: Changes = NO_CHANGES


@dataclass(frozen=True, slots=True)
class Wait:
    """Not now: the message comes again after a delay that grows; older than `give_up_s` it is a dead letter.

    `messages` go out now: the part of it that is done already.
    """

    reason: str
    give_up_s: float
    messages: tuple[Message, ...] = ()


@dataclass(frozen=True, slots=True)
class Reject:
    """It can never be handled: to the dead letters, with the reason."""

    reason: str


Outcome = (
    Advance | Record | Create | CloseBlocks | MoveBlock | Emit | Pause | Hold | Ignore | Defer | Wait | Reject | Answer
)


def fail(trigger: Trigger, component: Component, code: int, diagnostic: str) -> Advance:
    """Advance by a failing trigger with its one error; the job's unfinished outputs fail with it."""
    error = JobError(component, code, diagnostic)
    return Advance(trigger, Changes(errors=(error,)), detail=diagnostic)
