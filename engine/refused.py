"""Blocks that do not take the files of a batch: they are closed, somebody else's, or somebody has them in hand."""

from collections.abc import Mapping, Set
from dataclasses import dataclass, field

import structlog

from panda_fsm.blocks.states import BlockKind
from panda_fsm.effects import Effects
from panda_fsm.jobs.job import Job
from panda_fsm.joining import closed_to, foreign_to, held_up
from panda_fsm.ports import Transaction

log = structlog.get_logger()

_ROUNDS = 5
"""So often a job is planned anew because its blocks were closed meanwhile; then its plugin is asked later."""


@dataclass(slots=True)
class Closed:
    """Blocks that were found closed when files of jobs were to join them, by job, over the rounds of one batch;
    `foreign` are those of them that are another experiment's or of another kind. `held` are the jobs whose files join
    what somebody else has in hand."""

    names: dict[int, frozenset[str]] = field(default_factory=dict)
    foreign: dict[int, frozenset[str]] = field(default_factory=dict)
    rounds: dict[int, int] = field(default_factory=dict)
    held: set[int] = field(default_factory=set)

    def note(self, found: "BlocksRefusedError") -> None:
        self.held |= found.held
        for job_id in found.closed.keys() | found.foreign.keys():
            foreign = found.foreign.get(job_id, set())
            self.names[job_id] = self.names.get(job_id, frozenset()) | found.closed.get(job_id, set()) | foreign
            self.foreign[job_id] = self.foreign.get(job_id, frozenset()) | foreign
            self.rounds[job_id] = self.rounds.get(job_id, 0) + 1

    def is_nameless(self, job: Job | None) -> bool:
        """Whether its plugin had its chances to choose another name."""
        return job is not None and self.rounds.get(job.job_id, 0) >= _ROUNDS


class BlocksRefusedError(Exception):
    """Files would join blocks that do not take them: nothing is written, and their jobs are planned anew; or that
    somebody has in hand: their jobs wait."""

    def __init__(self, closed: Mapping[int, set[str]], foreign: Mapping[int, set[str]], held: Set[int]) -> None:
        super().__init__("a block was closed meanwhile, or belongs to somebody else")
        self.closed = closed
        self.foreign = foreign
        self.held = held


def refuse_blocks(tx: Transaction, effects: Effects) -> None:
    """Files never join a block that is closed or somebody else's: their jobs are planned anew, with other names. Those
    that join one that is held wait, and nobody else does."""
    if not effects.blocks:
        return
    destinations = {name for name, block in effects.blocks.items() if block.kind is BlockKind.DESTINATION}
    locked = effects.joined.keys() - destinations
    known = tx.known_blocks(locked, effects.blocks.keys() - locked)
    closed, foreign, held = closed_to(effects, known), foreign_to(effects, known), held_up(effects, known)
    if held:
        log.warning("blocks_held", blocks=sorted(name for name in known if known[name].is_held), jobs=len(held))
    if closed or foreign or held:
        raise BlocksRefusedError(closed, foreign, held)
