"""Jobs that go back or are held back: what becomes of them in each state, and of what comes late for them."""

from __future__ import annotations

import pytest

from consumers.activator import Activator
from consumers.setupper import REASSIGNED_PRIORITY, Setupper
from consumers.watcher import Watcher
from panda_fsm.effects import Effects
from panda_fsm.jobs.facts import TableLimits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.messages import FilesArrived, FilesFailed, KillJob, ReassignJob, ThrottleJobs
from panda_fsm.outcomes import NO_BLOCK, Advance, FileChange, Ignore
from tests import factories
from tests.decisions import applied, with_files
from tests.unit.test_consumers_setupper import Experiments

F, S = FileStatus, State
INPUT, PSEUDO, OUTPUT, LOG = FileType.INPUT, FileType.PSEUDO_INPUT, FileType.OUTPUT, FileType.LOG
BACK = {S.PENDING: "defined", S.WAITING: "defined", S.ASSIGNED: "defined", S.ACTIVATED: "defined"}


def reassigned(job: Job) -> Advance:
    """What the Setupper makes of the request."""
    service = Setupper(Experiments())
    item = factories.item(ReassignJob(job_id=1, actor="jedi"), job)
    service.prepare([item])
    outcome = service.decide(item)
    assert isinstance(outcome, Advance)
    return outcome


@pytest.mark.parametrize("state", list(State))
def test_only_jobs_that_no_pilot_has_had_go_back(state: State) -> None:
    """A defined job is at the beginning, a throttled one is held there, and of all others a pilot has heard."""
    job = factories.job(state)
    assert applied(reassigned(job), job) == BACK.get(state, "ignored")


def test_a_job_goes_back_with_nothing_of_its_blocks() -> None:
    job = factories.job(S.ASSIGNED, priority=0)
    job.files = [
        factories.file(0, INPUT, "on its way", F.PENDING, block="b_dis1"),
        factories.file(1, INPUT, "brought", F.READY, block="b_dis1"),
        factories.file(2, INPUT, "there before", F.READY),
        factories.file(3, OUTPUT, "out", F.UNKNOWN, block="b_sub1"),
        factories.file(4, LOG, "log", F.UNKNOWN),
    ]
    changes = reassigned(job).changes
    assert changes.files == (
        FileChange(0, F.UNKNOWN, NO_BLOCK), FileChange(1, F.UNKNOWN, NO_BLOCK), FileChange(3, F.UNKNOWN, NO_BLOCK)
    )  # fmt: skip
    effects = Effects()
    effects.record(job, changes)
    assert effects.priorities == {1: REASSIGNED_PRIORITY}
    assert effects.joined == {}, "no block is nothing that could be closed"
    assert {file.block for file in job.files} == {None}, "nor has it one for the next message of the batch"


def test_a_job_that_waited_once_comes_before_those_that_did_not() -> None:
    assert reassigned(factories.job(S.ACTIVATED, priority=-5)).changes.priority == 100
    assert reassigned(factories.job(S.ACTIVATED, priority=1000)).changes.priority == 1000
    assert reassigned(factories.job(S.PENDING, priority=0)).changes.priority is None, "it is only released"


@pytest.mark.parametrize("message", [FilesArrived, FilesFailed])
@pytest.mark.parametrize(("state", "block"), [(S.DEFINED, None), (S.WAITING, None), (S.ASSIGNED, "new_dis1")])
def test_what_is_said_of_a_block_that_its_job_left_is_late(
    message: type[FilesArrived | FilesFailed], state: State, block: str | None
) -> None:
    job = factories.job(state)
    job.files = [factories.file(0, INPUT, "in", F.PENDING if block else F.UNKNOWN, block=block)]
    assert isinstance(Activator().decide(factories.item(message(block="old_dis1", kind="dispatch"), job)), Ignore)


def test_one_file_of_two_datasets_is_one_file() -> None:
    """It is moved once, and both of the job's rows are ready with it."""
    job = factories.job(S.ASSIGNED)
    job.files = [
        factories.file(0, INPUT, "same", F.PENDING, dataset="a", block="b_dis1"),
        factories.file(1, INPUT, "same", F.PENDING, dataset="b", block="b_dis1"),
        factories.file(2, PSEUDO, "same", F.UNKNOWN, dataset="c"),
    ]
    outcome = Activator().decide(factories.item(FilesArrived(block="b_dis1", kind="dispatch", lfns=["same"]), job))
    assert isinstance(outcome, Advance)
    assert outcome.changes.files == (FileChange(0, F.READY), FileChange(1, F.READY))
    assert applied(outcome, job) == "activated"


@pytest.mark.parametrize("code", [9, 51])
def test_a_job_that_was_killed_is_not_activated_by_its_inputs(code: int) -> None:
    """A kill is never pending before the job runs: it ends the job, and the arrival comes late."""
    job = with_files(S.ASSIGNED, (INPUT, F.PENDING, "b_dis1"))
    kill = Watcher(TableLimits({}, {})).decide(factories.item(KillJob(job_id=1, code=code), job))
    assert applied(kill, job) in ("cancelled", "closed")
    assert isinstance(Activator().decide(factories.item(FilesArrived(block="b_dis1", kind="dispatch"), job)), Ignore)


@pytest.mark.parametrize("state", list(State))
@pytest.mark.parametrize("throttle", [True, False])
def test_only_what_waits_for_a_pilot_is_held_back_and_only_that_is_let_go(state: State, throttle: bool) -> None:
    job = factories.job(state)
    message = ThrottleJobs(jobs=[1], throttle=throttle)
    outcome = Watcher(TableLimits({}, {})).decide(factories.item(message, job))
    steps = {(S.ACTIVATED, True): "throttled", (S.THROTTLED, False): "activated"}
    assert applied(outcome, job) == steps.get((state, throttle), "ignored")
