"""What an experiment's plugin may answer about a job: a closed set, and no answer is an error."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from panda_fsm.outcomes import FileChange, NewBlock


@dataclass(frozen=True, slots=True)
class Transfer:
    """Files (by their number in the job) that must move, in a block that says from which storage to which."""

    block: NewBlock
    seqs: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Go:
    """The job goes on: changes of its files, blocks they join, and what must move first (set-up) or still (outputs)."""

    files: tuple[FileChange, ...] = ()
    blocks: tuple[NewBlock, ...] = ()
    transfers: tuple[Transfer, ...] = ()


@dataclass(frozen=True, slots=True)
class Park:
    """The job stays where it is until something happens that says so by itself; its deadline is the end."""

    reason: str


@dataclass(frozen=True, slots=True)
class Later:
    """Not now (an outside system is away): asked again after a delay, and given up by age."""

    reason: str


@dataclass(frozen=True, slots=True)
class Refuse:
    """The job can never go on; it fails with this reason."""

    reason: str


Plan = Go | Park | Later | Refuse
Plans = Mapping[int, Plan]


@dataclass(frozen=True, slots=True)
class Replicas:
    """Where a file is: storages that hold it, and storages that could not be looked at."""

    storages: tuple[str, ...] = ()
    unreachable: tuple[str, ...] = field(default=())
