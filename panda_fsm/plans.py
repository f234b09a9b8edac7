"""What an experiment's plugin may answer about a job: a closed set, and no answer is an error."""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import lru_cache

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import File, Job
from panda_fsm.jobs.states import FileStatus
from panda_fsm.outcomes import FileChange, NewBlock

_LONGEST_BLOCK, _LONGEST_NAME = 320, 256
_STORABLE = re.compile(r"[^\x00-\x1f\x7f\ud800-\udfff]*")
_LARGEST_FILE = 2**62
_ASK_AGAIN_S = (1.0, 60.0)


@dataclass(frozen=True, slots=True)
class Transfer:
    """Files (by their number in the job) that must move, in a block that says from which storage to which."""

    block: NewBlock
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Go:
    """The job goes on: changes of its files, blocks they join, and what must move first (set-up) or still (outputs).

    A dispatch block that is brought without a transfer keeps inputs where they are: it is complete at once.
    """

    files: tuple[FileChange, ...] = ()
    blocks: tuple[NewBlock, ...] = ()
    transfers: tuple[Transfer, ...] = ()


@dataclass(frozen=True, slots=True)
class Park:
    """The job stays where it is until something happens that says so by itself; its deadline is the end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not now (an outside system is away): asked again after a delay, and given up by age.

    `files`: what is done already, and need not be done again. It is written with the delay; the plugin finds it in the
    job's files when it is asked again.
    """

    reason: str
    files: tuple[FileChange, ...] = ()


@dataclass(frozen=True, slots=True)
class Unknown:
    """An input of a new job is nowhere: asked again as after `Later`, in a state of its own that ends earlier."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The job can never go on; it fails with this reason, and with a DDM error's code where there is one for it."""

    reason: str
    code: int = 0


Plan = Go | Park | Later | Unknown | Refuse
Plans = Mapping[int, Plan]


@dataclass(frozen=True, slots=True)
class StoredFile:
    """A file that a storage has, as its catalogue must know it, and the blocks that it belongs to."""

    scope: str
    lfn: str
    storage: str
    guid: str
    size: int
    checksum: str
    blocks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Replicas:
    """Where a file is: storages that hold it, and storages that could not be looked at."""

    storages: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = field(default=())


def waited_s(job: Job) -> float:
    """Seconds since the job entered its state."""
    return max(0.0, (datetime.now(UTC) - job.entered_at).total_seconds())


def ask_again_s(job: Job) -> float:
    """When to ask about a job again: after as long as it has waited already, within bounds."""
    shortest, longest = _ASK_AGAIN_S
    return min(longest, max(shortest, waited_s(job)))


def left_open(
    files: Iterable[File], changes: Iterable[FileChange], transfers: Iterable[Transfer],
    settled: frozenset[FileStatus], under_way: FileStatus,
) -> File | None:  # fmt: skip
    """The first of the files that would be neither settled nor really under way."""
    after = {change.seq: change.status for change in changes}
    moving = {seq for transfer in transfers for seq in transfer.seqs}
    for file in files:
        status = after.get(file.seq, file.status)
        if status not in settled and not (status is under_way and file.seq in moving):
            return file
    return None


def fault(answer: object, job: Job, moves: BlockKind) -> str | None:
    """Why an answer about `job` cannot be used; None if it can. `moves`: the kind of block that may ask for transfers.

    What an answer gets wrong would otherwise be found while a whole batch is written.
    """
    match answer:
        case Go():
            brought = {block.name: block for block in (*answer.blocks, *(one.block for one in answer.transfers))}
            return _fault_of_files(answer.files, brought, job) or _fault_of_transfers(answer, job, moves)
        case Later(str(), tuple() as files):
            return _fault_of_files(files, {}, job)
        case Unknown(str()) if moves is BlockKind.DISPATCH:
            return None
        case Park(str()) | Refuse(str(), int()):
            return None
    return f"is {type(answer).__name__}, not a plan"


def _fault_of_files(changes: Iterable[FileChange], brought: Mapping[str, NewBlock], job: Job) -> str | None:
    blocks = {file.seq: file.block for file in job.files}
    for change in changes:
        if change.seq not in blocks or not isinstance(change.status, FileStatus):
            return f"changes file {change.seq}, which the job does not have, or to {change.status!r:.50}"
        if change.block is not None and change.block != blocks[change.seq] and change.block not in brought:
            return f"puts file {change.seq} into a block that it does not bring"
        if not all(_is_name(text) for text in (change.guid, change.checksum, change.destination) if text):
            return f"gives file {change.seq} a GUID, checksum or destination that cannot be stored"
        if not 0 <= (change.size or 0) < _LARGEST_FILE:
            return f"gives file {change.seq} a size that cannot be"
    for block in brought.values():
        if type(block.kind) is not BlockKind or not _is_storable(block):
            return f"brings a block that cannot be stored: {block!r:.100}"
    return None


@lru_cache(maxsize=1024)
def _is_storable(block: NewBlock) -> bool:
    """Remembered, for the jobs of a batch share blocks."""
    names = all(map(_is_name, (block.parent, block.vo, block.source, block.destination)))
    return names and block.name != "" and _is_name(block.name, _LONGEST_BLOCK)


def _fault_of_transfers(plan: Go, job: Job, moves: BlockKind) -> str | None:
    blocks = {file.seq: file.block for file in job.files}
    blocks |= {change.seq: change.block for change in plan.files if change.block is not None}
    for transfer in plan.transfers:
        block = transfer.block
        if block.kind is not moves or not (block.source and block.destination and transfer.seqs):
            return f"asks for a transfer that does not say what moves from where to where: {block.name}"
        if any(blocks.get(seq) != block.name for seq in transfer.seqs):
            return f"moves a file that is not in the block {block.name}"
    return None


def _is_name(text: str, longest: int = _LONGEST_NAME) -> bool:
    return len(text) <= longest and (text.isprintable() or _STORABLE.fullmatch(text) is not None)
