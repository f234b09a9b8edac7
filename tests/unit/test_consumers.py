"""The decisions of Activator, Finisher and Closer about one message and one job."""

from __future__ import annotations

from typing import Any

import pytest

from consumers.activator import Activator
from consumers.closer import Closer
from consumers.finisher import Finisher
from panda_fsm import messages as events
from panda_fsm.codes import Verdict
from panda_fsm.handler import Service
from panda_fsm.jobs.job import Job, Upstream
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.outcomes import Advance, CloseBlocks, Defer, Ignore, Outcome, Record, Reject
from tests import factories
from tests.decisions import applied, changed, with_files

F, S = FileStatus, State
INPUT, PSEUDO, OUTPUT, LOG = FileType.INPUT, FileType.PSEUDO_INPUT, FileType.OUTPUT, FileType.LOG


HERE, THERE = "here", "there"
ARRIVALS: dict[str, tuple[Job, list[str] | None, str, dict[int, FileStatus]]] = {
    "the only input": (with_files(S.ASSIGNED, (INPUT, F.PENDING, HERE)), None, "activated", {0: F.READY}),
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


@pytest.mark.parametrize("state", [S.ACTIVATED, S.RUNNING, S.CANCELLED, S.PENDING, S.DEFINED, S.WAITING])
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
    "log home, output to be merged": (
        arrived, with_files(S.TRANSFERRING, (OUTPUT, F.MERGING, THERE), (LOG, F.TRANSFERRING, HERE)), "merging"
    ),
    "log lost, output to be merged": (
        failed, with_files(S.TRANSFERRING, (OUTPUT, F.MERGING, THERE), (LOG, F.TRANSFERRING, HERE)), "failed"
    ),
    "late": (arrived, with_files(S.FINISHED, (OUTPUT, F.READY, HERE)), "Ignore"),
    "killed meanwhile": (arrived, with_files(S.CANCELLED, (OUTPUT, F.FAILED, HERE)), "Ignore"),
}  # fmt: skip


@pytest.mark.parametrize("name", MOVES)
def test_finisher_on_moved_outputs(name: str) -> None:
    message, job, end = MOVES[name]
    assert applied(Finisher().decide(factories.item(message, job)), job) == end


def test_a_failure_that_comes_after_the_arrival_is_no_error_of_the_job() -> None:
    job = with_files(S.TRANSFERRING, (OUTPUT, F.READY, HERE), (LOG, F.TRANSFERRING, THERE))
    assert Finisher().decide(factories.item(failed, job)) == Record()


@pytest.mark.parametrize(("message", "end"), [(arrived, "finished"), (failed, "cancelled")])
def test_a_killed_job_whose_pilot_finished_first_is_cancelled_where_its_outputs_do_not_arrive(
    message: Any, end: str
) -> None:
    job = with_files(S.TRANSFERRING, (OUTPUT, F.TRANSFERRING, HERE))
    job.command = "tobekilled"
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


def merging(*upstream: Upstream, **fields: Any) -> Outcome:
    """What becomes of a job of which one output is to be merged and the log is home."""
    job = with_files(S.MERGING, (OUTPUT, F.MERGING, THERE), (LOG, F.READY, HERE))
    job.upstream = upstream
    values: dict[str, Any] = {"version": job.version} | fields
    event = events.JobEvent(job_id=1, state=S.MERGING, trigger="reminder", **values)
    return Finisher().decide(factories.item(event, job))


def test_a_job_whose_outputs_were_merged_has_finished() -> None:
    outcome = merging(Upstream(7, S.FAILED, is_last=True), Upstream(8, S.FINISHED))
    assert isinstance(outcome, Advance)
    assert outcome.trigger is Trigger.OUTPUTS_DONE
    assert changed(outcome) == {0: F.READY}


@pytest.mark.parametrize("state", [S.FAILED, S.CANCELLED, S.CLOSED])
def test_a_job_whose_outputs_nobody_merges_any_more_has_failed(state: State) -> None:
    outcome = merging(Upstream(7, S.FAILED), Upstream(8, state, is_last=True))
    assert isinstance(outcome, Advance)
    assert outcome.trigger is Trigger.OUTPUTS_FAILED
    (error,) = outcome.changes.errors
    assert (error.component, error.code, error.diagnostic) == (
        "task_buffer", 113, f"outputs not merged: job 8 is {state}"
    )  # fmt: skip
    assert outcome.changes.pilot == {"job_sub_status": f"merge_{state}"}


@pytest.mark.parametrize(
    ("upstream", "reason"),
    [
        ((), "waits for a job that merges its outputs"),
        ((Upstream(7, S.FAILED),), "waits for a job that merges its outputs"),
        ((Upstream(7, S.FAILED, is_last=True), Upstream(8, S.RUNNING)), "waits for job 8, which merges its outputs"),
        ((Upstream(8, None),), "waits for job 8, which merges its outputs"),
    ],
)
def test_a_job_whose_outputs_are_not_merged_yet_says_so(upstream: tuple[Upstream, ...], reason: str) -> None:
    outcome = merging(*upstream)
    assert isinstance(outcome, Defer)
    assert outcome.reason == reason


BY_OUTPUT: dict[str, tuple[tuple[Upstream, ...], dict[int, FileStatus], str]] = {
    "one merged": (
        (Upstream(7, S.FINISHED, seqs=frozenset({0})), Upstream(8, S.RUNNING, seqs=frozenset({1}))),
        {0: F.READY}, "waits for job 8, which merges its outputs",
    ),
    "one merged, of the other nobody has heard": (
        (Upstream(7, S.FINISHED, seqs=frozenset({0})),), {0: F.READY}, "waits for a job that merges its outputs"
    ),
    "one lost, the other tried": (
        (Upstream(7, S.FAILED, True, frozenset({0})), Upstream(8, S.RUNNING, seqs=frozenset({1}))),
        {0: F.FAILED}, "waits for job 8, which merges its outputs",
    ),
    "both merged": (
        (Upstream(7, S.FINISHED, seqs=frozenset({0})), Upstream(8, S.FINISHED, seqs=frozenset({1}))),
        {0: F.READY, 1: F.READY}, "finished",
    ),
    "one lost, one merged": (
        (Upstream(7, S.FAILED, True, frozenset({0})), Upstream(8, S.FINISHED, seqs=frozenset({1}))),
        {0: F.FAILED, 1: F.READY}, "failed",
    ),
    "by a job of a program before": ((Upstream(7, S.FINISHED),), {0: F.READY, 1: F.READY}, "finished"),
}  # fmt: skip


@pytest.mark.parametrize("case", BY_OUTPUT)
def test_each_output_is_settled_by_those_that_merge_it(case: str) -> None:
    upstream, after, end = BY_OUTPUT[case]
    job = with_files(S.MERGING, (OUTPUT, F.MERGING, THERE), (OUTPUT, F.MERGING, THERE), (LOG, F.READY, HERE))
    job.upstream = upstream
    event = events.JobEvent(job_id=1, state=S.MERGING, trigger="reminder", version=job.version)
    outcome = Finisher().decide(factories.item(event, job))
    assert isinstance(outcome, Advance | Defer)
    assert {change.seq: change.status for change in outcome.changes.files} == after
    assert (outcome.reason if isinstance(outcome, Defer) else applied(outcome, job)) == end
    lost = [(error.code, error.diagnostic) for error in outcome.changes.errors]
    assert lost == ([(113, "outputs not merged: job 7 is failed")] if F.FAILED in after.values() else [])


def test_an_output_that_was_lost_before_fails_its_job_with_the_last() -> None:
    job = with_files(S.MERGING, (OUTPUT, F.FAILED, THERE), (OUTPUT, F.MERGING, THERE))
    job.upstream = (Upstream(8, S.FINISHED, seqs=frozenset({1})),)
    event = events.JobEvent(job_id=1, state=S.MERGING, trigger="reminder", version=job.version)
    assert applied(Finisher().decide(factories.item(event, job)), job) == "failed"


def test_what_was_said_of_an_earlier_merging_is_ignored() -> None:
    assert isinstance(merging(Upstream(8, S.FINISHED), version=4), Ignore)


def test_finisher_drops_what_was_said_of_an_older_version() -> None:
    job = factories.job(S.HOLDING)
    added = events.OutputsAdded(job_id=1, version=job.version - 1, verdict=Verdict.FINISHED)
    assert isinstance(Finisher().decide(factories.item(added, job)), Ignore)


def test_closer_looks_at_the_blocks_of_the_job() -> None:
    assert Closer().decide(factories.item(events.CheckBlock(job_id=7))) == CloseBlocks(7)
    assert Closer().decide(factories.item(events.CheckBlock(block="b", job_id=7))) == CloseBlocks(block="b")


@pytest.mark.parametrize("service", [Activator(), Finisher(), Closer()], ids=lambda one: type(one).__name__)
def test_a_message_of_another_service_is_rejected(service: Service[Any]) -> None:
    item = factories.item(events.BlockClosed(block="b"))
    assert isinstance(service.decide(item), Reject)
