"""The generic experiment and the local DDM on real storages: where inputs are, how blocks are cut, what is copied."""

from __future__ import annotations

import zlib
from pathlib import Path
from typing import Any

import pytest

from lab.site import LabFiles, write_lab
from panda_fsm.errors import SettingsError
from panda_fsm.events import FilesArrived, FilesFailed, FileToMove, TransferRequested
from panda_fsm.job import Job
from panda_fsm.outcomes import Emit, Wait
from panda_fsm.report import OutputFile
from panda_fsm.sites import Sites
from panda_fsm.states import BlockKind, FileStatus, FileType, State
from plugins.generic import FILES_PER_DISPATCH_BLOCK, JOBS_PER_DISPATCH_BLOCK, GenericPlugin
from plugins.local_ddm import TRIES, LocalDdm
from plugins.registry import EntryPointRegistry
from tests import factories

F = FileStatus
A, B = factories.SOURCE_STORAGE, factories.QUEUE_STORAGE


@pytest.fixture
def lab(tmp_path: Path) -> LabFiles:
    """Two sites with a storage each."""
    return write_lab(tmp_path, "http://127.0.0.1:1")


@pytest.fixture
def sites(lab: LabFiles) -> Sites:
    """What the program knows of them."""
    return Sites.load(lab.sites_file)


def defined(job_id: int, *inputs: str, status: FileStatus = F.UNKNOWN, **fields: Any) -> Job:
    """A new job with these inputs, an output and a log."""
    job = factories.job(State.DEFINED, job_id=job_id, version=1, **fields)
    job.files = [factories.file(seq, FileType.INPUT, lfn, status) for seq, lfn in enumerate(inputs)]
    for kind, lfn in zip((FileType.OUTPUT, FileType.LOG), factories.output_lfns(job_id), strict=True):
        block = f"user.lab.{kind.value}.block"
        job.files.append(factories.file(len(job.files), kind, lfn, destination_block=block))
    return job


def test_an_input_at_the_site_is_ready_and_one_elsewhere_is_asked_for(lab: LabFiles, sites: Sites) -> None:
    factories.store_file(lab.queue_storage, "here.csv")
    factories.store_file(lab.source_storage, "here.csv")
    factories.store_file(lab.source_storage, "far.csv")
    plan = GenericPlugin(sites).setup([defined(1, "here.csv", "far.csv")])[1]
    assert (plan.refusal, plan.try_later) == (None, None)
    statuses = {change.seq: (change.status, change.block) for change in plan.files if change.seq < 2}
    (transfer,) = plan.transfers
    assert statuses == {0: (F.READY, None), 1: (F.PENDING, transfer.block)}
    assert (transfer.source, transfer.destination, transfer.seqs) == (A, B, [1])
    (block,) = [block for block in plan.blocks if block.kind is BlockKind.DISPATCH]
    assert (block.name, block.source, block.destination) == (transfer.block, A, B)
    assert block.name.startswith("panda.7.")
    assert block.name.endswith("_dis1")


def test_an_input_known_to_be_there_is_not_looked_for(sites: Sites) -> None:
    plan = GenericPlugin(sites).setup([defined(1, "cvmfs.csv", status=F.CACHED)])[1]
    assert (plan.refusal, plan.transfers) == (None, [])


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (defined(1, "nowhere.csv"), "nowhere.csv is on no storage"),
        (defined(1, site="NO_SUCH_QUEUE"), "unknown queue NO_SUCH_QUEUE"),
    ],
)
def test_a_job_that_cannot_run_is_refused_alone(lab: LabFiles, sites: Sites, job: Job, why: str) -> None:
    factories.store_file(lab.source_storage, "far.csv")
    plans = GenericPlugin(sites).setup([job, defined(2, "far.csv")])
    assert why in (plans[1].refusal or "")
    assert plans[2].refusal is None
    assert len(plans[2].transfers) == 1


def test_the_same_jobs_get_the_same_plan(lab: LabFiles, sites: Sites) -> None:
    """A batch may be handled again after a crash, by another process."""
    factories.store_file(lab.source_storage, "far.csv")
    jobs = [defined(number, "far.csv") for number in range(1, 30)]
    assert GenericPlugin(sites).setup(jobs) == GenericPlugin(sites).setup(list(reversed(jobs)))


@pytest.mark.parametrize(
    ("jobs", "files_each", "blocks"),
    [
        (JOBS_PER_DISPATCH_BLOCK, 0, 1),
        (JOBS_PER_DISPATCH_BLOCK + 1, 0, 2),
        (FILES_PER_DISPATCH_BLOCK, 1, 1),
        (11, 2, 2),
    ],
)
def test_dispatch_blocks_hold_20_files_or_21_jobs(
    lab: LabFiles, sites: Sites, jobs: int, files_each: int, blocks: int
) -> None:
    """0 files each: all jobs share one."""
    members = []
    for number in range(1, jobs + 1):
        lfns = [f"in.{number}.{part}" for part in range(files_each)] or ["shared"]
        for lfn in lfns:
            factories.store_file(lab.source_storage, lfn)
        members.append(defined(number, *lfns))
    plans = GenericPlugin(sites).setup(members)
    assert len({transfer.block for plan in plans.values() for transfer in plan.transfers}) == blocks
    assert all(len(plan.transfers) == 1 for plan in plans.values()), "a job is never split over two blocks"


def test_outputs_go_to_one_sub_block_per_destination(sites: Sites) -> None:
    plans = GenericPlugin(sites).setup([defined(1), defined(2), defined(3, destination=A), defined(4, task_id=8)])
    subs = {block.name: block for plan in plans.values() for block in plan.blocks if block.kind is BlockKind.SUB}
    of_job = {
        number: {change.block for change in plan.files if change.block is not None} for number, plan in plans.items()
    }
    assert of_job[1] == of_job[2] == {"user.lab.output.7_sub1", "user.lab.log.7_sub1"}
    assert of_job[3].isdisjoint(of_job[1])
    assert of_job[4].isdisjoint(of_job[1] | of_job[3])
    assert {subs[name].destination for name in of_job[3]} == {A}
    tops = {block.name for plan in plans.values() for block in plan.blocks if block.kind is BlockKind.DESTINATION}
    assert tops == {"user.lab.output.block", "user.lab.log.block"}


def stored(job: Job) -> dict[str, OutputFile]:
    """What the pilot says of the job's outputs."""
    return {file.lfn: OutputFile(file.lfn, "GUID", 5, "ad:00000001") for file in job.outputs}


@pytest.mark.parametrize(
    ("destination", "status", "transfers"), [("", F.READY, 0), (B, F.READY, 0), (A, F.TRANSFERRING, 1)]
)
def test_outputs_move_only_if_their_home_is_elsewhere(
    sites: Sites, destination: str, status: FileStatus, transfers: int
) -> None:
    job = defined(1, destination=destination)
    for file in job.outputs:
        file.block = "the_sub1"
    plan = GenericPlugin(sites).add_outputs([(job, stored(job))])[1]
    assert plan.refusal is None
    assert [(c.status, c.guid, c.size, c.checksum) for c in plan.files] == [(status, "GUID", 5, "ad:00000001")] * 2
    assert [(t.block, t.source, t.destination) for t in plan.transfers] == [("the_sub1", B, A)] * transfers


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"destination": "MOON"}, "unknown destination MOON"), ({"site": "NO_SUCH_QUEUE"}, "unknown queue")],
)
def test_outputs_that_have_no_home_fail_the_job(sites: Sites, fields: dict[str, Any], why: str) -> None:
    job = defined(1, **fields)
    for file in job.outputs:
        file.block = "the_sub1"
    assert why in (GenericPlugin(sites).add_outputs([(job, stored(job))])[1].refusal or "")


def ask(sites: Sites, *files: FileToMove, retries: int = 0, source: str = A, destination: str = B) -> Any:
    """What the DDM makes of a request."""
    request = TransferRequested(
        block="b_dis1", kind="dispatch", source=source, destination=destination, files=list(files)
    )
    item = factories.item(request, retries=retries)
    ddm = LocalDdm(sites)
    ddm.prepare([item])
    return ddm.decide(item)


def wanted(lfn: str, **fields: Any) -> FileToMove:
    """A file as the catalogue describes it."""
    return FileToMove(lfn=lfn, scope=factories.SCOPE, **fields)


def test_files_are_really_copied_and_again_is_no_harm(lab: LabFiles, sites: Sites) -> None:
    content = bytes(range(256)) * 10_000
    factories.store_file(lab.source_storage, "big.root", content)
    file = wanted("big.root", size=len(content), checksum=f"ad:{zlib.adler32(content):08x}")
    there = factories.store_path(lab.queue_storage, "big.root")
    for _ in range(2):
        outcome = ask(sites, file)
        assert isinstance(outcome, Emit)
        assert [type(message) for message in outcome.messages] == [FilesArrived]
        assert there.read_bytes() == content
    assert [path.name for path in there.parent.iterdir()] == ["big.root"], "no partial files are left"


BAD: dict[str, tuple[FileToMove, dict[str, Any], str]] = {
    "not at the source": (wanted("nowhere"), {}, "is not at the source"),
    "wrong size": (wanted("a.root", size=7), {}, "not what the catalogue says"),
    "wrong checksum": (wanted("a.root", checksum="ad:00000001"), {}, "not what the catalogue says"),
    "wrong md5": (wanted("a.root", checksum="md5:" + "0" * 32), {}, "not what the catalogue says"),
    "unknown storage": (wanted("a.root"), {"destination": "MOON"}, "unknown storage"),
}  # fmt: skip


@pytest.mark.parametrize("name", BAD)
def test_what_cannot_be_copied_is_tried_again_and_then_said(lab: LabFiles, sites: Sites, name: str) -> None:
    factories.store_file(lab.source_storage, "a.root")
    factories.store_file(lab.source_storage, "good.root")
    file, where, why = BAD[name]
    assert isinstance(ask(sites, file, **where), Wait)
    outcome = ask(sites, file, retries=TRIES, **where)
    (answer,) = outcome.messages
    assert isinstance(answer, FilesFailed)
    assert answer.lfns == [file.lfn]
    assert why in answer.reason
    assert not factories.store_path(lab.queue_storage, file.lfn).exists(), "a wrong copy is taken away again"
    if not where:
        both = ask(sites, wanted("good.root"), file, retries=TRIES).messages
        assert [(type(message), message.lfns) for message in both] == [
            (FilesArrived, ["good.root"]), (FilesFailed, [file.lfn])
        ]  # fmt: skip


def test_a_copy_that_was_cut_short_is_made_again(lab: LabFiles, sites: Sites) -> None:
    factories.store_file(lab.source_storage, "a.root")
    half = factories.store_file(lab.queue_storage, "a.root", factories.CONTENT[:3])
    ask(sites, wanted("a.root", size=len(factories.CONTENT), checksum=factories.CHECKSUM))
    assert half.read_bytes() == factories.CONTENT


def test_every_vo_without_a_plugin_gets_the_generic_one(sites: Sites) -> None:
    registry = EntryPointRegistry(sites)
    assert isinstance(registry.for_vo("never-heard-of"), GenericPlugin)
    assert registry.for_vo("") is registry.for_vo("generic")


@pytest.mark.parametrize("text", ["{", '{"queues": {"Q": {}}}', '{"colour": "red"}'])
def test_a_wrong_sites_file_is_said_with_its_name(tmp_path: Path, text: str) -> None:
    file = tmp_path / "sites.json"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"PANDA_FSM_SITES_FILE=.*sites\.json"):
        Sites.load(file)
