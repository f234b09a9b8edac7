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
_LARGEST_NUMBER, _LARGEST_CODE = 2**62, 2**31 - 1
_TYPES_OF_BLOCK = (BlockKind, bool, str, str, str, str, str)
_MOST_BLOCKS_A_FILE = 3
"""One that it joins, that one's parent, and one that keeps it."""
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

    What an answer gets wrong would otherwise be found while a whole batch is written. So each value is of exactly its
    type: a size of 22.0 or True passes for 22 everywhere but in the database.
    """
    kind = type(answer)
    if kind is Go:
        return _fault_of_go(answer, job, moves)  # type: ignore[arg-type]  # its type was just looked at
    match answer:
        case Later(reason, files) if kind is Later and type(reason) is str and type(files) is tuple:
            return _fault_of_files(files, {}, job)
        case Unknown(reason) if kind is Unknown and type(reason) is str and moves is BlockKind.DISPATCH:
            return None
        case Park(reason) if kind is Park and type(reason) is str:
            return None
        case Refuse(reason, code) if kind is Refuse and type(reason) is str and _is_number(code, _LARGEST_CODE):
            return None
    return f"is {kind.__name__}, not a plan"


def _fault_of_go(plan: Go, job: Job, moves: BlockKind) -> str | None:
    for part in (plan.files, plan.blocks, plan.transfers):
        if type(part) is not tuple:
            return f"has a {type(part).__name__} where a tuple is wanted"
    if any(type(one) is not Transfer or type(one.seqs) is not tuple for one in plan.transfers):
        return "asks for a transfer that is none"
    blocks = (*plan.blocks, *(one.block for one in plan.transfers))
    if len(blocks) > _MOST_BLOCKS_A_FILE * (len(job.files) + 1):
        return f"brings {len(blocks)} blocks for {len(job.files)} files"
    for block in blocks:
        if not _is_storable(block):
            return f"brings a block that cannot be stored: {block!r:.100}"
    brought = {block.name: block for block in blocks}  # one name may be two's, where a submitter chose it
    return _fault_of_files(plan.files, brought, job) or _fault_of_transfers(plan, job, moves)


def _fault_of_files(changes: tuple[FileChange, ...], brought: Mapping[str, NewBlock], job: Job) -> str | None:
    """Each file is changed once at most, so there are not more changes than files."""
    blocks = {file.seq: file.block for file in job.files}
    for change in changes:
        if type(change) is not FileChange:
            return f"changes a file by a {type(change).__name__}"
        seq = change.seq
        if type(seq) is not int or seq not in blocks or type(change.status) is not FileStatus:
            return f"changes file {seq!r:.50}, which the job does not have or has changed, or to {change.status!r:.50}"
        before, after = blocks.pop(seq), change.block
        if after is not None and (type(after) is not str or (after != before and after not in brought)):
            return f"puts file {seq} into a block that it does not bring"
        for text in (change.guid, change.checksum, change.destination):
            if text is not None and not _is_name(text):
                return f"gives file {seq} a GUID, checksum or destination that cannot be stored"
        if change.size is not None and not _is_number(change.size):
            return f"gives file {seq} a size that cannot be"
    return None


def _is_storable(block: object) -> bool:
    """What is equal need not be of one type, so types are looked at before what is remembered."""
    if type(block) is not NewBlock:
        return False
    texts = type(block.name), type(block.parent), type(block.vo), type(block.source), type(block.destination)
    types = type(block.kind), type(block.closes), *texts
    return types == _TYPES_OF_BLOCK and _is_number(block.task_id) and _has_names(block)


@lru_cache(maxsize=1024)
def _has_names(block: NewBlock) -> bool:
    """Remembered, for the jobs of a batch share blocks."""
    names = all(map(_is_name, (block.parent, block.vo, block.source, block.destination)))
    return names and block.name != "" and _is_name(block.name, _LONGEST_BLOCK)


def _fault_of_transfers(plan: Go, job: Job, moves: BlockKind) -> str | None:
    blocks: dict[object, str | None] = {file.seq: file.block for file in job.files}
    blocks |= {change.seq: change.block for change in plan.files if change.block is not None}
    for transfer in plan.transfers:
        block = transfer.block
        if block.kind is not moves or not (block.source and block.destination and transfer.seqs):
            return f"asks for a transfer that does not say what moves from where to where: {block.name}"
        for seq in transfer.seqs:
            if type(seq) is not int or blocks.pop(seq, None) != block.name:
                return f"moves a file that is not in the block {block.name}, or twice"
    return None


def _is_number(value: object, largest: int = _LARGEST_NUMBER) -> bool:
    return type(value) is int and 0 <= value <= largest


def _is_name(text: str, longest: int = _LONGEST_NAME) -> bool:
    return type(text) is str and len(text) <= longest and (text.isprintable() or _STORABLE.fullmatch(text) is not None)
