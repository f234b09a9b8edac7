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
    "two blocks of one name": Go((), (TOP, replace(TOP, kind=BlockKind.SUB))),
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
    "half a file": (Go((FileChange(1.0, F.READY),)), "changes file 1.0"),  # type: ignore[arg-type]
    "file that is true": (Go((FileChange(True, F.READY),)), "changes file True"),
    "file in words": (Go((FileChange("1", F.READY),)), "changes file '1'"),  # type: ignore[arg-type]
    "a file twice": (Go((FileChange(1, F.READY), FileChange(1, F.FAILED))), "changes file 1, "),
    "no change": (Go((7,)), "changes a file by a int"),  # type: ignore[arg-type]
    "a list of changes": (Go([FileChange(1, F.READY)]), "has a list where a tuple is wanted"),  # type: ignore[arg-type]
    "changes, once": (Go(iter(())), "where a tuple is wanted"),  # type: ignore[arg-type]
    "a list, later": (Later("why", []), "is Later, not a plan"),  # type: ignore[arg-type]
    "block of a file, a number": (Go((FileChange(1, F.READY, 7),)), "does not bring"),  # type: ignore[arg-type]
    "GUID, a number": (Go((FileChange(1, F.READY, None, 7),)), "cannot be stored"),  # type: ignore[arg-type]
    "checksum in bytes": (Go((FileChange(1, F.READY, None, "G", 1, b"ad"),)), "cannot be stored"),  # type: ignore[arg-type]
    "endless GUID": (Go((FileChange(1, F.READY, None, "x" * 257),)), "cannot be stored"),
    "size with a half": (Go((FileChange(1, F.READY, None, "G", 22.5),)), "a size that cannot be"),  # type: ignore[arg-type]
    "size with a point": (Go((FileChange(1, F.READY, None, "G", 22.0),)), "a size that cannot be"),  # type: ignore[arg-type]
    "size that is true": (Go((FileChange(1, F.READY, None, "G", True),)), "a size that cannot be"),
    "size in words": (Go((FileChange(1, F.READY, None, "G", "22"),)), "a size that cannot be"),  # type: ignore[arg-type]
    "size beyond all storages": (Go((FileChange(1, F.READY, None, "G", 2**70),)), "a size that cannot be"),
    "task in words": (Go((), (replace(TOP, task_id="7a"),)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "task with a point": (Go((), (replace(TOP, task_id=7.0),)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "no task": (Go((), (replace(TOP, task_id=None),)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "task beyond all": (Go((), (replace(TOP, task_id=2**70),)), "a block that cannot be stored"),
    "negative task": (Go((), (replace(TOP, task_id=-1),)), "a block that cannot be stored"),
    "closes perhaps": (Go((), (replace(TOP, closes="maybe"),)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "closes as a number": (Go((), (replace(TOP, closes=1),)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "VO of nobody": (Go((), (replace(TOP, vo=None),)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "NUL in a block": (Go((), (replace(TOP, name="b\x00"),)), "a block that cannot be stored"),
    "half a character in a source": (Go((), (replace(TOP, source="\udcff"),)), "a block that cannot be stored"),
    "no block at all": (Go((), ("b",)), "a block that cannot be stored"),  # type: ignore[arg-type]
    "bad block behind a good one": (Go((), (replace(TOP, vo="x" * 257), TOP)), "a block that cannot be stored"),
    "more blocks than files need": (Go((), tuple(replace(TOP, name=f"b{n}") for n in range(10))), "brings 10 blocks"),
    "transfer in words": (Go((), (), ("b",)), "a transfer that is none"),  # type: ignore[arg-type]
    "transfer of a list": (Go((pending(DIS),), (), (Transfer(DIS, [0]),)), "a transfer that is none"),  # type: ignore[arg-type]
    "transfer of half a file": (Go((pending(DIS),), (), (Transfer(DIS, (0.0,)),)), "moves a file"),  # type: ignore[arg-type]
    "transfer twice": (Go((pending(DIS),), (), (Transfer(DIS, (0, 0)),)), "moves a file"),
    "transfer with a bad block": (
        Go((pending(DIS),), (), (Transfer(replace(DIS, task_id=True), (0,)),)), "a block that cannot be stored",
    ),
    "code that is true": (Refuse("why", True), "is Refuse, not a plan"),
    "code beyond all": (Refuse("why", 2**40), "is Refuse, not a plan"),
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


def test_a_block_that_equals_a_good_one_is_no_good_one() -> None:
    """What is remembered of one must not be said of the other."""
    for task, good in ((7, True), (7.0, False), (7, True), (True, False), (1, True)):
        plan = Go((), (replace(TOP, task_id=task),))  # type: ignore[arg-type]
        assert (fault(plan, job(), BlockKind.DISPATCH) is None) == good


def test_a_kind_of_plan_of_somebodys_own_is_none() -> None:
    class Mine(Go):
        pass

    assert fault(Mine(), job(), BlockKind.DISPATCH) == "is Mine, not a plan"


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
