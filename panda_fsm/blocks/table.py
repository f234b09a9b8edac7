"""The table of transitions of data blocks. The statements that write them are held to it by a test."""

from enum import StrEnum

from panda_fsm.blocks.states import BlockStatus
from panda_fsm.machine import Lifecycle, row

B = BlockStatus


class BlockTrigger(StrEnum):
    """What happened to a block."""

    CREATED = "created"
    FILES_ARRIVED = "files_arrived"
    FILES_SETTLED = "files_settled"
    FILES_LEFT = "files_left"


T = BlockTrigger
CLOSED_AFTER = "job.outputs_added job.transferring job.failed job.closed job.cancelled block.check"
"""After each of these a block of the job may hold no file any more that is to come."""

BLOCK: Lifecycle[BlockTrigger, BlockStatus] = Lifecycle(
    BlockStatus,
    BlockTrigger,
    (
        row(T.CREATED, None, B.OPEN, "setupper", "job.defined"),
        row(T.FILES_ARRIVED, B.OPEN, B.CLOSED, "activator", "ddm.arrived.dispatch ddm.failed.dispatch"),
        row(T.FILES_SETTLED, B.OPEN, B.CLOSED, "closer", CLOSED_AFTER),
        row(T.FILES_LEFT, B.OPEN, B.CLOSED, "clock", ""),
    ),
    ignored={
        T.CREATED: frozenset({B.OPEN, B.CLOSED}),
        T.FILES_ARRIVED: frozenset({B.CLOSED}),
        T.FILES_SETTLED: frozenset({B.CLOSED}),
        T.FILES_LEFT: frozenset({B.CLOSED}),
    },
)
