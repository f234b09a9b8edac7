"""The Adder's decisions: what a report lists, and leaves out, has meaning (panda-semantics.md §3.6, §8.10)."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from consumers.adder import GIVE_UP_AFTER, Adder
from panda_fsm.events import JobEvent, OutputsAdded
from panda_fsm.job import Job
from panda_fsm.lifecycle import Trigger
from panda_fsm.outcomes import Advance, FileChange, Ignore, Outcome, Record, Wait
from panda_fsm.ports import AddPlan, ExperimentPlugin, SetupPlan, Transfer
from panda_fsm.report import OutputFile
from panda_fsm.states import FileStatus, FileType, State
from tests import factories

F = FileStatus


class Recorder:
    """A plugin that answers what the test wants and notes what it was asked: also the registry that finds it."""

    def __init__(self, **plan: Any) -> None:
        self._plan = plan
        self.asked: list[tuple[str, list[int]]] = []

    def for_vo(self, vo: str) -> ExperimentPlugin:
        self._vo = vo
        return self

    def setup(self, jobs: Sequence[Job]) -> dict[int, SetupPlan]:
        raise AssertionError("the Adder sets nothing up")

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, AddPlan]:
        self.asked.append((self._vo, [job.job_id for job, _ in jobs]))
        return {job.job_id: AddPlan(**self._plan) for job, _ in jobs}


def holding(report: dict[str, Any] | str | None, state: str = "finished", token: str = "", **fields: Any) -> Job:
    """A job of one input, one output, one log whose pilot reported."""
    job = factories.job(State.HOLDING, has_report=True, **fields)
    job.report = json.dumps(report) if isinstance(report, dict) else report
    job.report_state = state
    job.files = [
        factories.file(0, FileType.INPUT, "in.root", F.READY),
        factories.file(1, FileType.OUTPUT, "out.root", token=token, block="block"),
        factories.file(2, FileType.LOG, "log.tgz", block="block"),
    ]
    return job


def decide(job: Job, plugin: Recorder | None = None, **fields: Any) -> Outcome:
    """What the Adder makes of the event that the job is holding."""
    adder = Adder(plugin or Recorder())
    event = JobEvent(job_id=1, version=job.version, state=State.HOLDING, trigger="pilot_ended")
    item = factories.item(event, job, **fields)
    adder.prepare([item])
    return adder.decide(item)


def verdict(outcome: Outcome) -> tuple[str | None, dict[int, FileStatus], str]:
    """Verdict, statuses of files, and the error."""
    assert isinstance(outcome, Record), outcome
    changes = outcome.changes
    (message,) = changes.messages
    assert isinstance(message, OutputsAdded)
    assert message.verdict == changes.verdict
    return (
        changes.verdict,
        {change.seq: change.status for change in changes.files},
        "; ".join(error.diagnostic for error in changes.errors),
    )


ALL = {"out.root": factories.entry(), "log.tgz": factories.entry()}
LOG = {"log.tgz": factories.entry()}
NOTHING_DONE = {1: F.FAILED, 2: F.FAILED}
LOG_KEPT = {1: F.FAILED, 2: F.READY}
CASES: dict[str, tuple[Job, str, dict[int, FileStatus], str]] = {
    "all there": (holding(ALL), "finished", {}, ""),
    "output missing": (holding(LOG), "failed", LOG_KEPT, "out.root is missing"),
    "output may be missing": (holding(LOG, token="an"), "finished", {1: F.NO_OUTPUT}, ""),
    "may be missing, of several tokens": (holding(LOG, token="x,an"), "finished", {1: F.NO_OUTPUT}, ""),
    "log missing": (holding({"out.root": factories.entry()}), "failed", NOTHING_DONE, "log.tgz is missing"),
    "not declared": (holding(ALL | {"more.root": factories.entry()}), "failed", LOG_KEPT, "more.root is not an output"),
    "no checksum": (
        holding(ALL | {"out.root": {"guid": "G", "fsize": 1}}), "failed", LOG_KEPT, "out.root has no checksum"
    ),
    "input listed, user": (holding(ALL | {"in.root": {"guid": "G"}}), "finished", {0: F.SKIPPED}, ""),
    "input listed, production": (
        holding(ALL | {"in.root": {"guid": "G"}}, label="managed"), "finished", {0: F.FAILED}, ""
    ),
    "unreadable": (holding("NULL"), "failed", NOTHING_DONE, "not JSON"),
    "empty": (holding(""), "failed", NOTHING_DONE, "is missing"),
    "pilot failed, log stored": (holding(LOG, "failed"), "failed", LOG_KEPT, ""),
    "pilot failed, nothing stored": (holding("", "failed"), "failed", NOTHING_DONE, ""),
    "pilot failed, output stored": (holding(ALL, "failed"), "failed", LOG_KEPT, ""),
    "pilot failed, killed": (holding(LOG, "failed", command="tobekilled"), "cancelled", LOG_KEPT, ""),
    "killed, but finished first": (holding(ALL, command="tobekilled"), "finished", {}, ""),
    "killed, report unusable": (holding(LOG, command="tobekilled"), "failed", LOG_KEPT, "out.root is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    job, expected, files, why = CASES[name]
    found, statuses, error = verdict(decide(job))
    assert (found, statuses) == (expected, files)
    assert why in error
    assert bool(error) == bool(why)


def test_moving_outputs_are_requested_with_size_and_checksum() -> None:
    moving = [FileChange(1, F.TRANSFERRING), FileChange(2, F.TRANSFERRING)]
    transfer = Transfer("block", "LAB_B_DATADISK", "LAB_A_DATADISK", [1, 2])
    outcome = decide(holding(ALL), Recorder(files=moving, transfers=[transfer]))
    assert isinstance(outcome, Advance)
    assert outcome.trigger is Trigger.OUTPUTS_MOVING
    assert outcome.changes.verdict is None
    (request,) = outcome.changes.messages
    files = {(file["lfn"], file["size"], file["checksum"]) for file in json.loads(request.encode())["files"]}
    assert files == {(lfn, len(factories.CONTENT), factories.CHECKSUM) for lfn in ("out.root", "log.tgz")}


def test_temporary_error_is_not_a_failure_until_it_lasted_for_a_day() -> None:
    away = Recorder(try_later="catalogue is away")
    first = decide(holding(ALL), away)
    assert isinstance(first, Wait)
    assert first.tries > GIVE_UP_AFTER
    assert isinstance(decide(holding(ALL), away, retries=GIVE_UP_AFTER - 1), Wait)
    found, statuses, error = verdict(decide(holding(ALL), away, retries=GIVE_UP_AFTER))
    assert (found, statuses) == ("failed", LOG_KEPT)
    assert "catalogue is away" in error


def test_refusal_fails_the_job() -> None:
    found, statuses, error = verdict(decide(holding(ALL), Recorder(refusal="unknown destination")))
    assert (found, statuses, error) == ("failed", LOG_KEPT, "unknown destination")


@pytest.mark.parametrize(
    "job",
    [
        factories.job(State.HOLDING),
        factories.job(State.CANCELLED, has_report=True),
        factories.job(State.TRANSFERRING, has_report=True),
        holding(ALL, verdict="finished"),
    ],
    ids=["no report yet", "cancelled meanwhile", "again", "verdict given"],
)
def test_nothing_to_do(job: Job) -> None:
    assert isinstance(decide(job), Ignore)


def test_event_of_an_older_version_is_ignored() -> None:
    job = holding(ALL)
    item = factories.item(JobEvent(job_id=1, version=job.version - 1, state=State.HOLDING, trigger="x"), job)
    adder = Adder(Recorder())
    adder.prepare([item])
    assert isinstance(adder.decide(item), Ignore)


def test_each_experiments_plugin_is_asked_once_about_its_own_jobs_only() -> None:
    plugin = Recorder()
    jobs = [holding(ALL, vo=vo, job_id=number) for number, vo in enumerate(("x", "y", "x"), start=1)]
    items = [
        factories.item(JobEvent(job_id=job.job_id, version=5, state=State.HOLDING, trigger="x"), job)
        for job in (*jobs, jobs[0])
    ]
    Adder(plugin).prepare(items)
    assert sorted(plugin.asked) == [("x", [1, 3]), ("y", [2])]
