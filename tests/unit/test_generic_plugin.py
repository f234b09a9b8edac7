"""The generic experiment on real storages: where inputs are, and where outputs go."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta, timezone
from typing import Any

import pytest

from lab.site import LabFiles
from panda_fsm.blocks.states import BlockKind
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import FileStatus
from panda_fsm.outcomes import FileChange, NewBlock
from panda_fsm.plans import Go, Later, Refuse, StoredFile, Unknown, fault
from panda_fsm.sites import Sites
from plugins.ddm.catalogue import LocalCatalogue
from plugins.experiments import generic
from plugins.experiments.generic import GenericPlugin
from tests import factories
from tests.decisions import defined, going

F = FileStatus
CONTENT = b"12345"
CHECKSUM = f"ad:{zlib.adler32(CONTENT):08x}"
A, B = factories.SOURCE_STORAGE, factories.QUEUE_STORAGE


@pytest.fixture
def plugin(sites: Sites) -> GenericPlugin:
    """On the laboratory's storages."""
    return GenericPlugin(sites, LocalCatalogue(sites))


def test_an_input_at_the_site_is_ready_and_one_elsewhere_is_asked_for(lab: LabFiles, plugin: GenericPlugin) -> None:
    factories.store_file(lab.queue_storage, "here.csv")
    factories.store_file(lab.source_storage, "here.csv")
    factories.store_file(lab.source_storage, "far.csv")
    job = defined(1, "here.csv", "far.csv", entered_at=datetime(2026, 3, 1, 1, tzinfo=timezone(timedelta(hours=2))))
    plan = going(plugin.setup([job])[1])
    statuses = {change.seq: (change.status, change.block) for change in plan.files if change.seq < 2}
    (transfer,) = plan.transfers
    block = transfer.block
    assert statuses == {0: (F.READY, None), 1: (F.PENDING, block.name)}
    assert (block.kind, block.source, block.destination, transfer.seqs) == (BlockKind.DISPATCH, A, B, (1,))
    assert block.name.startswith("panda.7.02.28.GEN.transfer."), "the day it was defined, in UTC"
    assert block.name.endswith("_dis1")
    assert fault(plan, job, BlockKind.DISPATCH) is None


def test_inputs_are_looked_for_a_few_jobs_at_a_time(
    lab: LabFiles, plugin: GenericPlugin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A plugin's answer is waited for only so long."""
    monkeypatch.setattr(generic, "LOOK_UP_S", -1.0)
    monkeypatch.setattr(generic, "FILES_AT_ONCE", 2)
    for lfn in ("a.csv", "b.csv", "c.csv"):
        factories.store_file(lab.queue_storage, lfn)
    plans = plugin.setup([defined(3, "a.csv", "c.csv"), defined(2), defined(1, "a.csv", "b.csv")])
    assert {job_id: type(plan) for job_id, plan in plans.items()} == {1: Go, 2: Go, 3: Later}
    assert isinstance(plugin.setup([defined(3, "a.csv", "c.csv")])[3], Go)


def test_an_input_known_to_be_there_is_not_looked_for(plugin: GenericPlugin) -> None:
    assert going(plugin.setup([defined(1, "cvmfs.csv", status=F.CACHED)])[1]).transfers == ()


@pytest.mark.parametrize(
    ("job", "why"),
    [
        (defined(1, site="NO_SUCH_QUEUE"), "unknown queue NO_SUCH_QUEUE"),
        (defined(1, destination="MOON"), "unknown destination MOON"),
    ],
)
def test_a_job_that_cannot_run_is_refused_alone(lab: LabFiles, plugin: GenericPlugin, job: Job, why: str) -> None:
    factories.store_file(lab.source_storage, "far.csv")
    plans = plugin.setup([job, defined(2, "far.csv")])
    assert isinstance(plans[1], Refuse)
    assert why in plans[1].reason
    assert len(going(plans[2]).transfers) == 1


@pytest.mark.parametrize(
    ("lfn", "plan"),
    [
        ("nowhere.csv", Unknown("input user.lab:nowhere.csv is on no storage")),
        ("x" * 256, Unknown(f"input user.lab:{'x' * 256} is on no storage")),
        ("user.lab.lib.tgz", Later("library user.lab:user.lab.lib.tgz is on no storage yet")),
    ],
    ids=["input", "endless name", "library"],
)
def test_an_input_that_is_nowhere_keeps_its_own_job_only(
    lab: LabFiles, plugin: GenericPlugin, lfn: str, plan: Unknown | Later
) -> None:
    """A library that its build job still makes is awaited in defined, whoever submitted the build job."""
    factories.store_file(lab.source_storage, "far.csv")
    plans = plugin.setup([defined(1, lfn), defined(2, "far.csv")])
    assert plans[1] == plan
    assert len(going(plans[2]).transfers) == 1


@pytest.mark.parametrize("away", ["source", "queue"])
def test_a_storage_that_is_not_mounted_is_not_an_empty_one(lab: LabFiles, plugin: GenericPlugin, away: str) -> None:
    """An input may be there: the job waits, and goes on once the storage is back. Nobody else waits."""
    root, name = (lab.source_storage, A) if away == "source" else (lab.queue_storage, B)
    elsewhere = lab.queue_storage if away == "source" else lab.source_storage
    factories.store_file(root, "there.csv")
    if away == "source":
        factories.store_file(elsewhere, "here.csv")
    gone = root.rename(root.with_suffix(".unmounted"))
    plans = plugin.setup([defined(1, "there.csv"), defined(2, *(["here.csv"] if away == "source" else []))])
    assert isinstance(plans[1], Later)
    assert plans[1].reason == f"nobody can say where input user.lab:there.csv is: {name} cannot be reached"
    assert isinstance(plans[2], Go)
    gone.rename(root)
    assert isinstance(plugin.setup([defined(1, "there.csv")])[1], Go)


def test_nothing_is_brought_to_a_storage_that_is_away(lab: LabFiles, plugin: GenericPlugin) -> None:
    """What is there already nobody can say."""
    factories.store_file(lab.source_storage, "far.csv")
    lab.queue_storage.rename(lab.queue_storage.with_suffix(".unmounted"))
    assert isinstance(plugin.setup([defined(1, "far.csv")])[1], Later)


def stored(job: Job) -> dict[str, OutputFile]:
    """What the pilot says of the job's outputs."""
    return {file.lfn: OutputFile(file.lfn, "GUID", 5, CHECKSUM) for file in job.outputs}


def holding(**fields: Any) -> Job:
    """A job whose outputs are in a block."""
    job = defined(1, **fields)
    for file in job.outputs:
        file.block = "the_sub1"
    return job


@pytest.mark.parametrize(
    ("destination", "status", "transfers"), [("", F.READY, 0), (B, F.READY, 0), (A, F.TRANSFERRING, 1)]
)
def test_outputs_move_only_if_their_home_is_elsewhere(
    plugin: GenericPlugin, destination: str, status: FileStatus, transfers: int
) -> None:
    job = holding(destination=destination, block="the")
    plan = going(plugin.add_outputs([(job, stored(job))])[1])
    assert [(c.status, c.guid, c.size, c.checksum) for c in plan.files] == [(status, "GUID", 5, CHECKSUM)] * 2
    block = NewBlock("the_sub1", BlockKind.SUB, "the", factories.VO, 7, B, A)
    assert [(one.block, one.seqs) for one in plan.transfers] == [(block, (0, 1))] * transfers
    assert fault(plan, job, BlockKind.SUB) is None


@pytest.mark.parametrize(
    ("fields", "why"),
    [({"destination": "MOON"}, "unknown destination MOON"), ({"site": "NO_SUCH_QUEUE"}, "unknown queue NO_SUCH_QUEUE")],
)
def test_outputs_that_have_no_home_fail_the_job(plugin: GenericPlugin, fields: dict[str, Any], why: str) -> None:
    job = holding(**fields)
    assert plugin.add_outputs([(job, stored(job))])[1] == Refuse(why)


class Forgetful(LocalCatalogue):
    """A catalogue that takes one of all files that it is told of, and then is away for a moment."""

    def __init__(self, sites: Sites) -> None:
        super().__init__(sites)
        self.told: list[list[str]] = []

    def register(self, files: Sequence[StoredFile]) -> dict[StoredFile, Later | Refuse]:
        self.told.append([file.lfn for file in files])
        return {file: Later("catalogue is away") for file in files[1:]}


@pytest.mark.parametrize("destination", ["", A])
def test_what_the_catalogue_confirmed_it_is_not_told_again(sites: Sites, destination: str) -> None:
    """By what was written of it: whatever process looks at the job next."""
    forgetful = Forgetful(sites)
    job = holding(destination=destination, block="the")
    plan = GenericPlugin(sites, forgetful).add_outputs([(job, stored(job))])[1]
    output, log = factories.output_lfns(1)
    assert plan == Later("catalogue is away", (FileChange(0, F.UNKNOWN, None, "GUID", 5, CHECKSUM),))
    assert fault(plan, job, BlockKind.SUB) is None
    job.files[0] = replace(job.files[0], guid="GUID", size=5, checksum=CHECKSUM)
    assert len(going(GenericPlugin(sites, forgetful).add_outputs([(job, stored(job))])[1]).files) == 2
    assert forgetful.told == [[output, log], [log]]


@pytest.mark.parametrize(
    ("label", "endpoint", "destination", "registered", "goes"),
    [
        ("user", "", A, B, None),
        ("user", "", "", None, None),
        ("user", A, A, None, None),
        ("managed", "", A, B, A),
        ("managed", A, B, A, B),
        ("managed", "", "MOON", B, None),
    ],
    ids=["far from home", "no home", "home", "of production", "of production, elsewhere", "unknown home"],
)
def test_the_log_of_a_failed_job_is_registered_where_it_is(
    plugin: GenericPlugin, label: str, endpoint: str, destination: str, registered: str | None, goes: str | None
) -> None:
    """Nobody waits for it to come home; that of production is sent there."""
    job = holding(destination=destination, label=label, block="the")
    log = {file.lfn: OutputFile(file.lfn, "", 5, CHECKSUM, endpoint) for file in job.outputs[1:]}
    plan = going(plugin.keep_logs([(job, log)])[1])
    (change,) = plan.files
    assert (change.seq, change.status, change.destination) == (1, F.READY, registered)
    assert change.guid, "made where the pilot leaves it empty"
    assert [one.block.destination for one in plan.transfers] == ([goes] if goes else [])
    assert fault(plan, job, BlockKind.SUB) is None


def at(job: Job, endpoint: str) -> dict[str, OutputFile]:
    """The pilot says that it stored the outputs there."""
    return {lfn: replace(one, endpoint=endpoint) for lfn, one in stored(job).items()}


@pytest.mark.parametrize(
    ("endpoint", "destination", "statuses", "source", "registered"),
    [
        (A, "", F.READY, None, A),
        (A, A, F.READY, None, None),
        (A, B, F.TRANSFERRING, A, None),
        (B, A, F.TRANSFERRING, B, None),
        ("UNHEARD_OF", "", F.READY, None, None),
    ],
    ids=["stays", "is home", "goes home", "as planned", "is no storage of ours"],
)  # fmt: skip
def test_an_output_is_registered_where_its_pilot_stored_it(
    plugin: GenericPlugin, endpoint: str, destination: str, statuses: FileStatus, source: str | None,
    registered: str | None,
) -> None:  # fmt: skip
    job = holding(destination=destination, block="the")
    plan = going(plugin.add_outputs([(job, at(job, endpoint))])[1])
    assert {(change.status, change.destination) for change in plan.files} == {(statuses, registered)}
    assert {one.block.source for one in plan.transfers} == ({source} if source else set())
    assert fault(plan, job, BlockKind.SUB) is None


def test_what_moves_from_another_storage_moves_in_a_block_that_says_so(plugin: GenericPlugin) -> None:
    """The daemon repeats requests by what their block says."""
    job = holding(destination=B, block="the.data.set")
    (transfer,) = going(plugin.add_outputs([(job, at(job, A))])[1]).transfers
    assert (transfer.block.parent, transfer.block.source, transfer.block.destination) == ("the.data.set", A, B)
    assert transfer.block.name != "the_sub1"
    job.closed_blocks = frozenset({transfer.block.name})
    (again,) = going(plugin.add_outputs([(job, at(job, A))])[1]).transfers
    assert again.block.name not in job.closed_blocks
