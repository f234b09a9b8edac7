"""Blocks that files of a batch join or its jobs bring, laid beside those that exist: which jobs cannot have them."""

from collections import defaultdict
from collections.abc import Mapping

from panda_fsm.blocks.states import BlockKind
from panda_fsm.effects import Effects
from panda_fsm.outcomes import KnownBlock


def closed_to(effects: Effects, known: Mapping[str, KnownBlock]) -> dict[int, set[str]]:
    """Blocks that jobs want to join and that take no files any more. Destination blocks always do."""
    found: dict[int, set[str]] = defaultdict(set)
    for name, job_ids in effects.joined.items():
        block = known.get(name)
        if block is not None and block.kind is not BlockKind.DESTINATION and not block.takes_files:
            for job_id in job_ids:
                found[job_id].add(name)
    return found


def held_up(effects: Effects, known: Mapping[str, KnownBlock]) -> set[int]:
    """Jobs that want to join blocks that somebody has in hand."""
    held = {name for name in effects.joined.keys() & known.keys() if known[name].is_held}
    return {job_id for name in held for job_id in effects.joined[name]}


def foreign_to(effects: Effects, known: Mapping[str, KnownBlock]) -> dict[int, set[str]]:
    """Blocks that jobs bring and that are another experiment's or of another kind. A new one is the first's."""
    found: dict[int, set[str]] = defaultdict(set)
    for (name, kind, vo), job_ids in effects.brought.items():
        owner = known.get(name) or effects.blocks[name]
        if (owner.kind, owner.vo) != (kind, vo):
            for job_id in job_ids:
                found[job_id].add(name)
    return found
