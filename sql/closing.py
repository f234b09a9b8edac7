"""Blocks as a batch closes and moves them: what of them is complete is found under their locks."""

from collections.abc import Iterator, Sequence

import psycopg

from panda_fsm.blocks.states import BlockKind, BlockStatus
from panda_fsm.blocks.table import BLOCK
from panda_fsm.effects import Effects
from panda_fsm.messages import BlockClosed, SettleBlock
from sql.queries import load

_Q = load("store")


def close_blocks(connection: psycopg.Connection, effects: Effects, service: str) -> None:
    """Close what is complete of the blocks that are named, move those that the DDM has done with, and say so."""
    if effects.arrived_blocks:
        names = {"blocks": sorted(effects.arrived_blocks)}
        connection.execute(_Q["lock_blocks"], names)
        connection.execute(_Q["close_arrived"], names)
    if effects.close_blocks_of or effects.close_blocks:
        asked = {"job_ids": sorted(effects.close_blocks_of), "names": sorted(effects.close_blocks)}
        locked = [block_id for (block_id,) in connection.execute(_Q["lock_complete"], asked)]
        for message in _closed(connection, locked, service) if locked else ():
            effects.send(message)
    for trigger, moved in effects.moved_blocks.items():
        for before in BlockStatus:
            status = BLOCK.leads(trigger, before)
            if status is not None:
                step = {"names": sorted(moved), "before": before.value, "status": status.value}
                connection.execute(_Q["move_blocks"], step)


def _closed(connection: psycopg.Connection, locked: Sequence[int], service: str) -> Iterator[BlockClosed | SettleBlock]:
    """Close what is complete of these blocks; what is said of it."""
    closed = connection.execute(_Q["close_complete"], {"block_ids": locked}).fetchall()
    if len(closed) < len(locked):
        tops = {"block_ids": locked, "parents": [parent for parent, *_ in closed]}
        closed += connection.execute(_Q["close_destinations"], tops).fetchall()
    told = [name for _, name, kind, *_, is_jedis in closed if is_jedis and kind != BlockKind.DISPATCH]
    if told:
        connection.execute(_Q["tell_jedi_closed"], {"names": told, "service": service})
    for _, name, kind, status, files, vo, task_id, _ in closed:
        if kind == BlockKind.SUB:
            yield SettleBlock(block=name, status="closed")
        if kind != BlockKind.DISPATCH:
            yield BlockClosed(block=name, kind=kind, status=status, number_files=files, vo=vo, task_id=task_id)
