"""The decisions of Setupper, Activator, Finisher, Closer and DDM about one message and one job."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from consumers.activator import Activator
from consumers.closer import Closer
from consumers.finisher import Finisher
from consumers.setupper import Setupper
from panda_fsm import events
from panda_fsm.effects import Effects
from panda_fsm.handler import Service
from panda_fsm.job import File, Job
from panda_fsm.lifecycle import Ignored
from panda_fsm.outcomes import Advance, CloseBlocks, Create, Emit, FileChange, Ignore, Outcome, Record, Reject, Wait
from panda_fsm.ports import AddPlan, ExperimentPlugin, SetupPlan, Transfer
from panda_fsm.report import OutputFile
from panda_fsm.sites import Sites
from panda_fsm.states import FileStatus, FileType, State
from plugins.local_ddm import LocalDdm
from tests import factories

F, S = FileStatus, State
INPUT, PSEUDO, OUTPUT, LOG = FileType.INPUT, FileType.PSEUDO_INPUT, FileType.OUTPUT, FileType.LOG


def applied(outcome: Outcome, job: Job) -> str:
    """The state after an Advance, or what else the outcome is."""
    if not isinstance(outcome, Advance):
        return type(outcome).__name__
    step = Effects(lambda state: 60).step(job, outcome.trigger, "cause", None)
    return "ignored" if isinstance(step, Ignored) else job.state.value


def with_files(state: State, *files: tuple[FileType, FileStatus, str]) -> Job:
    """A job with files (type, status, block), each called after its place."""
    job = factories.job(state)
    job.files = [
        factories.file(seq, kind, f"file.{seq}", status, block=block) for seq, (kind, status, block) in enumerate(files)
    ]
    return job


def changed(outcome: Outcome) -> dict[int, FileStatus]:
    """Statuses that the outcome writes."""
    assert isinstance(outcome, Advance | Record), outcome
    return {change.seq: change.status for change in outcome.changes.files}


HERE, THERE = "here", "there"
ARRIVALS: dict[str, tuple[Job, list[str] | None, str, dict[int, FileStatus]]] = {
    "the only input": (with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE)), None, "activated", {0: F.READY}),
    "before the state": (with_files(S.DEFINED, (INPUT, F.PENDING, HERE)), None, "activated", {0: F.READY}),
    "the last of two": (
        with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE), (INPUT, F.READY, THERE)), None, "activated", {0: F.READY}
    ),
    "the first of two": (
        with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE), (INPUT, F.PENDING, THERE)), None, "Record", {0: F.READY}
    ),
    "one file of the block": (
        with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE), (INPUT, F.PENDING, HERE)), ["file.1"], "Record", {1: F.READY}
    ),
    "cached counts as there": (
        with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE), (INPUT, F.CACHED, "")), None, "activated", {0: F.READY}
    ),
    "pseudo input never blocks": (
        with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE), (PSEUDO, F.UNKNOWN, "")), None, "activated", {0: F.READY}
    ),
    "outputs do not count": (
        with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE), (OUTPUT, F.UNKNOWN, HERE)), None, "activated", {0: F.READY}
    ),
    "missing blocks": (
        with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE), (INPUT, F.MISSING, "")), None, "Record", {0: F.READY}
    ),
}  # fmt: skip


@pytest.mark.parametrize("name", ARRIVALS)
def test_activator_on_arrival(name: str) -> None:
    job, lfns, end, files = ARRIVALS[name]
    message = events.FilesArrived(block=HERE, kind="dispatch", lfns=lfns)
    outcome = Activator().decide(factories.item(message, job))
    assert changed(outcome) == files
    assert applied(outcome, job) == end


@pytest.mark.parametrize("state", [S.ACTIVATED, S.RUNNING, S.CANCELLED, S.PENDING])
def test_activator_leaves_a_job_alone_that_does_not_wait(state: State) -> None:
    job = with_files(state, (INPUT, F.PENDING, HERE))
    arrived = factories.item(events.FilesArrived(block=HERE, kind="dispatch"), job)
    assert isinstance(Activator().decide(arrived), Ignore)


def test_activator_fails_a_job_whose_inputs_cannot_come() -> None:
    job = with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE))
    outcome = Activator().decide(factories.item(events.FilesFailed(block=HERE, kind="dispatch", reason="lost"), job))
    assert isinstance(outcome, Advance)
    assert "lost" in outcome.changes.errors[0].diagnostic
    assert applied(outcome, job) == "failed"


arrived = events.FilesArrived(block=HERE, kind="sub")
failed = events.FilesFailed(block=HERE, kind="sub", reason="disk full")
MOVES: dict[str, tuple[Any, Job, str]] = {
    "all": (arrived, with_files(S.TRANSFERRING, (OUTPUT, F.TRANSFERRING, HERE)), "finished"),
    "last block": (
        arrived, with_files(S.TRANSFERRING, (OUTPUT, F.TRANSFERRING, HERE), (LOG, F.READY, THERE)), "finished"
    ),
    "first block": (
        arrived, with_files(S.TRANSFERRING, (OUTPUT, F.TRANSFERRING, HERE), (LOG, F.TRANSFERRING, THERE)), "Record"
    ),
    "one missing by right": (
        arrived, with_files(S.TRANSFERRING, (OUTPUT, F.NO_OUTPUT, HERE), (LOG, F.TRANSFERRING, HERE)), "finished"
    ),
    "other failed before": (
        arrived, with_files(S.TRANSFERRING, (OUTPUT, F.FAILED, THERE), (LOG, F.TRANSFERRING, HERE)), "failed"
    ),
    "failed": (failed, with_files(S.TRANSFERRING, (OUTPUT, F.TRANSFERRING, HERE)), "failed"),
    "one failed, one to come": (
        failed, with_files(S.TRANSFERRING, (OUTPUT, F.TRANSFERRING, HERE), (LOG, F.TRANSFERRING, THERE)), "Record"
    ),
    "late": (arrived, with_files(S.FINISHED, (OUTPUT, F.READY, HERE)), "Ignore"),
    "killed meanwhile": (arrived, with_files(S.CANCELLED, (OUTPUT, F.FAILED, HERE)), "Ignore"),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_finisher_on_moved_outputs(name: str) -> None:
    message, job, end = MOVES[name]
    assert applied(Finisher().decide(factories.item(message, job)), job) == end


@pytest.mark.parametrize(
    ("state", "verdict", "end"),
    [
        (S.HOLDING, "finished", "finished"),
        (S.HOLDING, "failed", "failed"),
        (S.HOLDING, "cancelled", "cancelled"),
        (S.FINISHED, "finished", "ignored"),
        (S.CANCELLED, "finished", "ignored"),
    ],
)
def test_finisher_on_outputs_added(state: State, verdict: Any, end: str) -> None:
    job = factories.job(state)
    added = events.OutputsAdded(job_id=1, version=job.version, verdict=verdict)
    assert applied(Finisher().decide(factories.item(added, job)), job) == end


def test_finisher_drops_what_was_said_of_an_older_version() -> None:
    job = factories.job(S.HOLDING)
    added = events.OutputsAdded(job_id=1, version=job.version - 1, verdict="finished")
    assert isinstance(Finisher().decide(factories.item(added, job)), Ignore)


class Plugin:
    """Answers every job with the plan of the test."""

    def __init__(self, plan: SetupPlan) -> None:
        self._plan = plan

    def for_vo(self, vo: str) -> ExperimentPlugin:
        return self

    def setup(self, jobs: Sequence[Job]) -> dict[int, SetupPlan]:
        return {job.job_id: self._plan for job in jobs}

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, AddPlan]:
        raise AssertionError("the Setupper adds nothing")


def set_up(plan: SetupPlan, job: Job, version: int = 5) -> Outcome:
    """What the Setupper makes of a defined job."""
    service = Setupper(Plugin(plan))
    event = events.JobEvent(job_id=1, version=version, state=S.DEFINED, trigger="submitted")
    item = factories.item(event, job)
    service.prepare([item])
    return service.decide(item)


def test_setupper_sends_a_job_whose_inputs_are_there_to_the_pilots() -> None:
    job = with_files(S.DEFINED, (INPUT, F.UNKNOWN, ""))
    outcome = set_up(SetupPlan(files=[FileChange(0, F.READY)]), job)
    assert changed(outcome) == {0: F.READY}
    assert applied(outcome, job) == "activated"


def test_setupper_asks_for_inputs_with_the_step_that_awaits_them() -> None:
    job = with_files(S.DEFINED, (INPUT, F.UNKNOWN, ""))
    outcome = set_up(SetupPlan(transfers=[Transfer("block_dis1", "A", "B", [0])]), job)
    assert isinstance(outcome, Advance)
    (request,) = outcome.changes.messages
    assert isinstance(request, events.TransferRequested)
    assert [file.lfn for file in request.files] == ["file.0"]
    assert applied(outcome, job) == "assigned"


def test_setupper_fails_waits_or_ignores() -> None:
    job = with_files(S.DEFINED)
    assert applied(set_up(SetupPlan(refusal="unknown queue"), job), job) == "failed"
    assert isinstance(set_up(SetupPlan(try_later="catalogue is away"), with_files(S.DEFINED)), Wait)
    assert isinstance(set_up(SetupPlan(), with_files(S.ACTIVATED), version=4), Ignore)


@pytest.mark.parametrize("to_pending", [False, True])
def test_setupper_creates_and_releases(to_pending: bool) -> None:
    service = Setupper(Plugin(SetupPlan()))
    created = service.decide(factories.item(factories.submit(factories.draft(1), to_pending=to_pending)))
    assert isinstance(created, Create)
    assert created.trigger == ("submitted_pending" if to_pending else "submitted")
    job = factories.job(S.PENDING)
    assert applied(service.decide(factories.item(events.ReleaseJobs(jobs=[1]), job)), job) == "defined"


def test_closer_looks_at_the_blocks_of_the_job() -> None:
    assert Closer().decide(factories.item(events.CheckBlock(job_id=7))) == CloseBlocks(7)


@pytest.mark.parametrize("service", [Activator(), Finisher(), Closer(), Setupper(Plugin(SetupPlan()))], ids=str)
def test_a_message_of_another_service_is_rejected(service: Service) -> None:
    item = factories.item(events.BlockClosed(block="b"))
    assert isinstance(service.decide(item), Reject)


def test_ddm_answers_after_its_tries_for_what_came_and_what_did_not() -> None:
    request = events.TransferRequested(
        block="b", kind="sub", source="NOWHERE", destination="NOWHERE", files=[events.FileToMove(lfn="a", scope="s")]
    )
    ddm = LocalDdm(Sites())
    first, last = factories.item(request), factories.item(request, retries=3)
    ddm.prepare([first, last])
    assert isinstance(ddm.decide(first), Wait)
    outcome = ddm.decide(last)
    assert isinstance(outcome, Emit)
    (answer,) = outcome.messages
    assert isinstance(answer, events.FilesFailed)
    assert (answer.lfns, answer.reason) == (["a"], "unknown storage")


def test_inputs_ready_looks_at_inputs_only() -> None:
    files: list[File] = with_files(S.DEFINED, (INPUT, F.READY, ""), (PSEUDO, F.UNKNOWN, ""), (LOG, F.UNKNOWN, "")).files
    assert factories.job(files=files).inputs_ready
