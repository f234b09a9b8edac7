"""What a plugin's plan may say: a plan that cannot be written is found before a batch is."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import SETTLED_OUTPUT, FileStatus, FileType, State
from panda_fsm.outcomes import NO_BLOCK, FileChange, NewBlock
from panda_fsm.plans import Go, Later, Park, Refuse, Transfer, Unknown, fault, left_open
from tests.decisions import with_files

F = FileStatus
DIS = NewBlock("b_dis1", BlockKind.DISPATCH, "", "lab", 7, "A", "B")
TOP = NewBlock("b", BlockKind.DESTINATION, "", "lab", 7)
SUB = NewBlock("b_sub1", BlockKind.SUB, "b", "lab", 7, "B", "A")


def job() -> Job:
    """An input and an output; the output is in a block already."""
    return with_files(State.DEFINED, (FileType.INPUT, F.UNKNOWN, ""), (FileType.OUTPUT, F.UNKNOWN, "old"))


def pending(block: NewBlock) -> FileChange:
    """The input is on its way in this block."""
    return FileChange(0, F.PENDING, block.name)


GOOD = {
    "nothing": Go(),
    "inputs": Go((pending(DIS),), (), (Transfer(DIS, (0,)),)),
    "outputs join a block": Go((FileChange(1, F.UNKNOWN, SUB.name),), (TOP, SUB)),
    "known block": Go((FileChange(1, F.READY, "old", "GUID", 5, "ad:00000001"),)),
    "parked": Park("why"),
    "later": Later("why"),
    "later, half done": Later("why", (FileChange(1, F.UNKNOWN, None, "GUID", 5, "ad:00000001"),)),
    "unknown": Unknown("why"),
    "refused": Refuse("why"),
    "refused with a code": Refuse("why", 101),
}


@pytest.mark.parametrize("name", GOOD)
def test_plans_that_can_be_written(name: str) -> None:
    assert fault(GOOD[name], job(), BlockKind.DISPATCH) is None


BAD: dict[str, tuple[Any, str]] = {
    "nothing": (None, "is NoneType, not a plan"),
    "a text": ("go", "is str, not a plan"),
    "no reason": (Later(None), "is Later, not a plan"),  # type: ignore[arg-type]
    "later, of an unknown file": (Later("why", (FileChange(5, F.READY),)), "changes file 5"),
    "later, into a block": (Later("why", (FileChange(1, F.READY, SUB.name),)), "does not bring"),
    "code in words": (Refuse("why", "ddm"), "is Refuse, not a plan"),  # type: ignore[arg-type]
    "no block": (Go((FileChange(1, F.UNKNOWN, NO_BLOCK),)), "does not bring"),
    "unknown file": (Go((FileChange(5, F.READY),)), "changes file 5"),
    "status in words": (Go((FileChange(0, "there"),)), "to 'there'"),  # type: ignore[arg-type]
    "block that is not brought": (Go((pending(DIS),)), "does not bring"),
    "NUL": (Go((FileChange(1, F.READY, None, "\x00"),)), "cannot be stored"),
    "half a character": (Go((FileChange(1, F.READY, None, None, 1, "\udcff"),)), "cannot be stored"),
    "negative size": (Go((FileChange(1, F.READY, None, "G", -1),)), "a size that cannot be"),
    "nameless block": (Go((), (replace(TOP, name=""),)), "a block that cannot be stored"),
    "endless block": (Go((), (replace(TOP, name="x" * 321),)), "a block that cannot be stored"),
    "block without a kind": (Go((), (replace(TOP, kind="sub"),)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "transfer of nothing": (Go((), (), (Transfer(DIS, ()),)), "does not say what moves"),
    "transfer from nowhere": (Go((pending(DIS),), (), (Transfer(replace(DIS, source=""), (0,)),)), "does not say"),
    "transfer to nowhere": (Go((pending(DIS),), (), (Transfer(replace(DIS, destination=""), (0,)),)), "does not say"),
    "transfer of outputs": (Go((FileChange(1, F.UNKNOWN, SUB.name),), (), (Transfer(SUB, (1,)),)), "does not say"),
    "transfer of what did not join": (Go((), (), (Transfer(DIS, (0,)),)), "moves a file that is not in the block"),
    "transfer of a stranger": (Go((pending(DIS),), (), (Transfer(DIS, (0, 9)),)), "moves a file that is not in"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_plans_that_cannot(name: str) -> None:
    plan, why = BAD[name]
    assert why in str(fault(plan, job(), BlockKind.DISPATCH))


def test_outputs_are_not_looked_for_as_inputs_are() -> None:
    assert fault(Unknown("why"), job(), BlockKind.SUB) == "is Unknown, not a plan"


def test_outputs_move_in_sub_blocks() -> None:
    plan = Go((FileChange(1, F.TRANSFERRING, SUB.name),), (), (Transfer(SUB, (1,)),))
    assert fault(plan, job(), BlockKind.SUB) is None


@pytest.mark.parametrize(
    ("changes", "transfers", "left"),
    [
        ((), (), "file.1"),
        ((FileChange(1, F.READY),), (), None),
        ((FileChange(1, F.NO_OUTPUT),), (), None),
        ((FileChange(1, F.TRANSFERRING),), (), "file.1"),
        ((FileChange(1, F.TRANSFERRING),), (Transfer(SUB, (1,)),), None),
    ],
)
def test_left_open(changes: tuple[FileChange, ...], transfers: tuple[Transfer, ...], left: str | None) -> None:
    found = left_open(job().outputs, changes, transfers, SETTLED_OUTPUT, F.TRANSFERRING)
    assert (found and found.lfn) == left
