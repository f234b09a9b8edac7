"""The local DDM's register of blocks, and what an experiment registers there."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass, field

import pytest

from lab.site import LabFiles
from panda_fsm.blocks.states import BlockKind
from panda_fsm.blocks.table import BlockTrigger
from panda_fsm.errors import TransientError
from panda_fsm.jobs.report import OutputFile
from panda_fsm.messages import BlockClosed, SettleBlock
from panda_fsm.outcomes import Ignore, MoveBlock, NewBlock, Reject
from panda_fsm.plans import Go, Later
from panda_fsm.sites import Sites
from panda_fsm.trouble import Condition
from plugins.ddm.blocks import BlockRegister, LocalBlocks
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments.generic import GenericPlugin
from plugins.experiments.registry import IsolatedExperiments
from tests import factories
from tests.decisions import defined, going

A, B = factories.SOURCE_STORAGE, factories.QUEUE_STORAGE
OUTPUT, LOG = factories.output_lfns(1)


@pytest.fixture
def register(sites: Sites) -> BlockRegister:
    return BlockRegister(sites)


@pytest.fixture
def plugin(sites: Sites) -> GenericPlugin:
    return GenericPlugin(sites, LocalCatalogue(sites))


@dataclass
class Registered:
    """What the register has of a block; what was written twice is read once."""

    block: dict[str, str] = field(default_factory=dict)
    files: set[tuple[str, str]] = field(default_factory=set)
    is_closed: bool = False


def read(register: BlockRegister, name: str) -> Registered | None:
    """What is known of a block; None: nothing."""
    path = register._path(name)
    if path is None or not path.exists():
        return None
    found = Registered()
    for line in map(json.loads, path.read_text().splitlines()):
        if "file" in line:
            found.files.add((line["file"][0], line["file"][1]))
        elif "closed" in line:
            found.is_closed = True
        else:
            found.block = line
    return found


def known(register: BlockRegister, name: str) -> tuple[str, set[str], bool]:
    """Kind of a block, names of its files, and whether it is closed."""
    found = read(register, name)
    assert found is not None, name
    return found.block["kind"], {lfn for _, lfn in found.files}, found.is_closed


def test_blocks_are_registered_before_files_join_them(
    lab: LabFiles, plugin: GenericPlugin, register: BlockRegister
) -> None:
    """A sub block in which nothing moves is nobody's business but ours."""
    factories.store_file(lab.source_storage, "far.csv")
    stays, goes = defined(1, "far.csv"), defined(2, "far.csv", destination=A)
    plans = plugin.setup([stays, goes])
    for plan, is_known in ((going(plans[1]), False), (going(plans[2]), True)):
        (transfer,) = plan.transfers
        assert known(register, transfer.block.name) == ("dispatch", {"far.csv"}, False)
        subs = [block.name for block in plan.blocks if block.kind is BlockKind.SUB]
        assert len(subs) == 2
        assert [read(register, name) is not None for name in subs] == [is_known] * 2
    assert known(register, "user.lab.output.block") == ("destination", set(), False)


@pytest.mark.parametrize("destination", ["", A])
def test_an_output_is_known_in_its_destination_block_and_in_the_one_that_brings_it_home(
    plugin: GenericPlugin, register: BlockRegister, destination: str
) -> None:
    job = defined(1, destination=destination)
    by_seq = {change.seq: change.block for change in going(plugin.setup([job])[1]).files}
    for file in job.outputs:
        file.block = by_seq[file.seq]
    stored = {lfn: OutputFile(lfn, "GUID", 5, "ad:00000001") for lfn in (OUTPUT, LOG)}
    for _ in range(2):
        plugin.add_outputs([(job, stored)])
    assert known(register, "user.lab.output.block") == ("destination", {OUTPUT}, False)
    sub = str(job.outputs[0].block)
    if destination:
        assert known(register, sub) == ("sub", {OUTPUT}, False)
    else:
        assert read(register, sub) is None


def test_what_goes_home_from_another_storage_goes_in_a_registered_block(
    plugin: GenericPlugin, register: BlockRegister
) -> None:
    job = defined(1, destination=B)
    for file in job.outputs:
        file.block = "the_sub1"
    stored = {lfn: OutputFile(lfn, "GUID", 5, "ad:00000001", A) for lfn in (OUTPUT, LOG)}
    transfers = going(plugin.add_outputs([(job, stored)])[1]).transfers
    assert {lfn for one in transfers for lfn in known(register, one.block.name)[1]} == {OUTPUT, LOG}


def test_what_is_said_twice_is_known_once(register: BlockRegister) -> None:
    block = NewBlock("x" * 320, BlockKind.SUB, "top", "lab", 7, A, B)
    for _ in range(2):
        register.register({block: [("s", "a")]})
        register.add({block.name: [("s", "a"), ("s", "b")]})
        register.close(block.name)
    found = read(register, block.name)
    assert found is not None
    assert (found.files, found.is_closed) == ({("s", "a"), ("s", "b")}, True)
    assert found.block == {
        "name": "x" * 320, "kind": "sub", "vo": "lab", "parent": "top", "source": A, "destination": B
    }  # fmt: skip
    for _ in range(2):
        register.delete(block.name)
    assert read(register, block.name) is None


def in_the_way(lab: LabFiles, name: str) -> None:
    """Let one block's entry be what nobody can write."""
    digest = hashlib.sha256(name.encode()).hexdigest()
    entry = lab.root / "blocks" / digest[:2] / digest[2:]
    entry.unlink(missing_ok=True)
    entry.mkdir(parents=True)


CALLS: dict[str, Callable[[BlockRegister], None]] = {
    "register": lambda register: register.register({NewBlock("b", BlockKind.SUB): []}),
    "add": lambda register: register.add({"b": [("s", "a")]}),
    "close": lambda register: register.close("b"),
    "delete": lambda register: register.delete("b"),
}


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("how", ["not mounted", "no folder"])
def test_a_register_that_is_not_there_is_waited_for(
    lab: LabFiles, register: BlockRegister, how: str, call: str
) -> None:
    """It says nothing of its blocks: they are not closed, nor gone, and no second register is made."""
    root = lab.root / "blocks"
    root.rmdir()
    if how == "no folder":
        root.write_text("in the way")
    with pytest.raises(TransientError, match="register of blocks"):
        CALLS[call](register)
    assert not root.is_dir()


def test_a_block_that_cannot_be_written_keeps_no_other_waiting(
    lab: LabFiles, sites: Sites, register: BlockRegister
) -> None:
    ddm = LocalBlocks(sites)
    for name in ("bad", "good"):
        register.register({NewBlock(name, BlockKind.SUB): []})
    in_the_way(lab, "bad")
    asked = [
        factories.item(SettleBlock(block=name, status=to)) for to in ("closed", "deleted") for name in ("bad", "good")
    ]
    ddm.prepare(asked)
    bad, good, not_gone, gone = map(ddm.decide, asked)
    assert isinstance(bad, Ignore)
    assert isinstance(not_gone, Ignore)
    assert (good, gone) == (MoveBlock("good", BlockTrigger.REGISTERED), MoveBlock("good", BlockTrigger.DELETED))


def test_jobs_of_a_block_that_cannot_be_written_wait_and_no_others(
    lab: LabFiles, sites: Sites, plugin: GenericPlugin
) -> None:
    factories.store_file(lab.source_storage, "far.csv")
    jobs = [defined(1, "far.csv"), defined(2), defined(3)]
    (transfer,) = going(plugin.setup(jobs)[1]).transfers
    in_the_way(lab, transfer.block.name)
    plans = IsolatedExperiments(sites, LocalCatalogue(sites), Condition()).setup(jobs)
    assert [type(plans[job.job_id]) for job in jobs] == [Later, Go, Go]


def test_without_a_register_nothing_is_kept_and_all_goes_on() -> None:
    register = BlockRegister(Sites())
    register.register({NewBlock("b", BlockKind.SUB): []})
    register.close("b")
    register.delete("b")
    assert read(register, "b") is None


def test_the_ddm_closes_and_deletes_blocks_and_says_so(sites: Sites, register: BlockRegister) -> None:
    ddm = LocalBlocks(sites)
    register.register({NewBlock("b", BlockKind.SUB): []})
    closing, deleting = (factories.item(SettleBlock(block="b", status=to)) for to in ("closed", "deleted"))
    ddm.prepare([closing])
    assert ddm.decide(closing) == MoveBlock("b", BlockTrigger.REGISTERED)
    assert known(register, "b") == ("sub", set(), True)
    ddm.prepare([deleting, closing])
    assert ddm.decide(deleting) == MoveBlock("b", BlockTrigger.DELETED)
    assert read(register, "b") is None, "closing what is gone does not bring it back"
    assert isinstance(ddm.decide(factories.item(BlockClosed(block="b"))), Reject)
