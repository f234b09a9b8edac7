"""The table of transitions of data blocks. The statements that write them are held to it by a test."""

from enum import StrEnum

from panda_fsm.blocks.states import TAKES_FILES, BlockStatus
from panda_fsm.machine import Lifecycle, row

B = BlockStatus


class BlockTrigger(StrEnum):
    """What happened to a block."""

    CREATED = "created"
    OUTPUTS_ADDED = "outputs_added"
    INPUTS_ARRIVED = "inputs_arrived"
    INPUTS_SETTLED = "inputs_settled"
    OUTPUTS_SETTLED = "outputs_settled"
    ALL_SETTLED = "all_settled"
    REOPENED = "reopened"
    REGISTERED = "registered"
    USED_UP = "used_up"
    DELETED = "deleted"


T = BlockTrigger
CLOSED_AFTER = "job.failed job.closed job.cancelled block.check"
"""After each of these a block, of the job or that is named, may hold no file any more that is to come."""
_INPUTS, _OUTPUTS, _TOP = "is_dispatch", "is_sub", "is_destination_that_closes"
_PINS = "is_dispatch_of_what_is_there"
_PAST = frozenset(B) - TAKES_FILES

BLOCK: Lifecycle[BlockTrigger, BlockStatus] = Lifecycle(
    BlockStatus,
    BlockTrigger,
    (
        row(T.CREATED, None, B.DEFINED, "setupper", "job.defined job.waiting"),
        row(T.CREATED, None, B.DEFINED, "adder", "job.holding"),
        row(T.CREATED, None, B.DEFINED, "watcher", "kill deadline", _TOP),
        row(T.OUTPUTS_ADDED, B.DEFINED, B.RUNNING, "adder", "job.holding", "is_not_dispatch"),
        row(
            T.INPUTS_ARRIVED, TAKES_FILES, B.COMPLETED, "activator", "ddm.arrived.dispatch ddm.failed.dispatch", _INPUTS
        ),
        row(T.INPUTS_ARRIVED, TAKES_FILES, B.COMPLETED, "setupper", "job.defined job.waiting", _PINS),
        row(T.INPUTS_SETTLED, TAKES_FILES, B.COMPLETED, "closer", CLOSED_AFTER, _INPUTS),
        row(T.OUTPUTS_SETTLED, TAKES_FILES, B.TO_BE_CLOSED, "closer", CLOSED_AFTER, _OUTPUTS),
        row(T.ALL_SETTLED, TAKES_FILES, B.CLOSED, "closer", CLOSED_AFTER, _TOP),
        row(T.ALL_SETTLED, B.CLOSED, B.CLOSED, "closer", CLOSED_AFTER, "came_late"),
        row(T.REOPENED, B.CLOSED, B.RUNNING, "setupper", "job.defined job.waiting", _TOP),
        row(T.REGISTERED, B.TO_BE_CLOSED, B.COMPLETED, "ddm.blocks", "block.settle"),
        row(T.USED_UP, B.COMPLETED, B.CLEANUP, "daemon", ""),
        row(T.DELETED, B.CLEANUP, B.DELETED, "ddm.blocks", "block.settle"),
    ),
    ignored={
        T.CREATED: frozenset(B),
        T.OUTPUTS_ADDED: frozenset(B) - {B.DEFINED},
        T.INPUTS_ARRIVED: _PAST,
        T.INPUTS_SETTLED: _PAST,
        T.OUTPUTS_SETTLED: _PAST,
        T.ALL_SETTLED: _PAST - {B.CLOSED},
        T.REOPENED: frozenset(B) - {B.CLOSED},
        T.REGISTERED: frozenset(B) - {B.TO_BE_CLOSED},
        T.USED_UP: frozenset(B) - {B.COMPLETED},
        T.DELETED: frozenset(B) - {B.CLEANUP},
    },
)
"""A guard says which blocks a step is for. `came_late`: with the sub block, or the files in it, of a job that came
after all seemed done."""
