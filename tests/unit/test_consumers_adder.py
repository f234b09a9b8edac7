"""The Adder's decisions: what a report lists, and leaves out, has meaning; so has each answer of a plugin."""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.adder import GIVE_UP_S, Adder
from panda_fsm.blocks.states import BlockKind
from panda_fsm.codes import Component, DdmCode
from panda_fsm.effects import Effects
from panda_fsm.jobs.job import Job, NewFile
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import JobEvent, OutputsAdded
from panda_fsm.outcomes import Advance, Changes, Defer, FileChange, Ignore, NewBlock, Outcome, Record
from panda_fsm.plans import Go, Later, Park, Plan, Refuse, Transfer
from tests import factories

F = FileStatus


class Experiments:
    """Answers what the test wants and notes what it was asked; unless told otherwise, all that was stored is ready."""

    def __init__(self, plan: Plan | None = None, log_plan: Plan | None = None) -> None:
        self._plan = plan
        self._log_plan = log_plan
        self.asked: list[list[int]] = []
        self.asked_about_logs: list[dict[int, list[str]]] = []

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        raise AssertionError("the Adder sets nothing up")

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        self.asked.append([job.job_id for job, _ in jobs])
        return {job.job_id: self._plan or Go(_ready(job, stored)) for job, stored in jobs}

    def keep_logs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        self.asked_about_logs.append({job.job_id: list(stored) for job, stored in jobs})
        return {job.job_id: self._log_plan or Go(_ready(job, stored)) for job, stored in jobs}

    def mistrust(self, job: Job, error: str) -> bool:
        return False

    def accuse(self, job: Job, error: str) -> None:
        raise AssertionError("nobody is to blame")

    def refusal(self, vo: str, lfn: str) -> str | None:
        return "cannot be registered: it is odd" if "odd" in lfn else None


def _ready(job: Job, stored: dict[str, OutputFile]) -> tuple[FileChange, ...]:
    return tuple(FileChange(file.seq, F.READY) for file in job.outputs if file.lfn in stored)


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


def decide(job: Job, plan: Plan | None = None, log_plan: Plan | None = None) -> Outcome:
    """What the Adder makes of the event that the job is holding."""
    adder = Adder(Experiments(plan, log_plan))
    event = JobEvent(job_id=1, version=job.version, state=State.HOLDING, trigger="pilot_ended")
    item = factories.item(event, job)
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
ALL_READY = {1: F.READY, 2: F.READY}
NOTHING_DONE = {1: F.FAILED, 2: F.FAILED}
LOG_KEPT = {1: F.FAILED, 2: F.READY}
UNEXPLAINED = "a failure and no reason"
CASES: dict[str, tuple[Job, str, dict[int, FileStatus], str]] = {
    "all there": (holding(ALL), "finished", ALL_READY, ""),
    "output missing": (holding(LOG), "failed", LOG_KEPT, "out.root is missing"),
    "output may be missing": (holding(LOG, token="an"), "finished", {1: F.NO_OUTPUT, 2: F.READY}, ""),
    "may be missing, of several tokens": (holding(LOG, token="x,an"), "finished", {1: F.NO_OUTPUT, 2: F.READY}, ""),
    "log missing": (holding({"out.root": factories.entry()}), "failed", NOTHING_DONE, "log.tgz is missing"),
    "not declared": (holding(ALL | {"more.root": factories.entry()}), "failed", LOG_KEPT, "more.root is not an output"),
    "no checksum": (
        holding(ALL | {"out.root": {"guid": "G", "fsize": 1}}), "failed", LOG_KEPT, "out.root has no checksum"
    ),
    "no size": (
        holding(ALL | {"out.root": factories.entry(fsize=None)}), "failed", LOG_KEPT, "out.root has no size"
    ),
    "bad checksum": (
        holding(ALL | {"out.root": factories.entry(adler32="xyz")}), "failed", LOG_KEPT, "out.root: adler32 is not"
    ),
    "name that cannot be shown": (
        holding(ALL | {"o\x00\ud800": factories.entry()}), "failed", LOG_KEPT, "'o\\x00\\ud800' is not an output"
    ),
    "no name": (holding(ALL | {"": factories.entry()}), "failed", LOG_KEPT, "'' is not an output"),
    "pilot failed, output unusable": (
        holding(ALL | {"out.root": factories.entry(fsize=-1)}, "failed"), "failed", LOG_KEPT, UNEXPLAINED
    ),
    "pilot failed, log unusable": (
        holding({"log.tgz": factories.entry(fsize=-1)}, "failed"), "failed", NOTHING_DONE, UNEXPLAINED
    ),
    "log without a size": (
        holding({"log.tgz": factories.entry(fsize="NULL")}, "failed"), "failed", NOTHING_DONE, UNEXPLAINED
    ),
    "input listed, user": (holding(ALL | {"in.root": {"guid": "G"}}), "finished", ALL_READY | {0: F.SKIPPED}, ""),
    "input listed, production": (
        holding(ALL | {"in.root": {"guid": "G"}}, label="managed"), "finished", ALL_READY | {0: F.FAILED}, ""
    ),
    "unreadable": (holding("NULL"), "failed", NOTHING_DONE, "not JSON"),
    "empty": (holding(""), "failed", NOTHING_DONE, "is missing"),
    "pilot failed, log stored": (holding(LOG, "failed"), "failed", LOG_KEPT, UNEXPLAINED),
    "pilot failed, nothing stored": (holding("", "failed"), "failed", NOTHING_DONE, UNEXPLAINED),
    "pilot failed, with a code": (holding("", "failed", pilot_erred=True), "failed", NOTHING_DONE, ""),
    "pilot failed, with a diagnosis": (holding("", "failed", has_erred=True), "failed", NOTHING_DONE, ""),
    "pilot failed, output stored": (holding(ALL, "failed"), "failed", LOG_KEPT, UNEXPLAINED),
    "pilot failed, killed": (holding(LOG, "failed", command="tobekilled"), "cancelled", LOG_KEPT, ""),
    "killed, but finished first": (holding(ALL, command="tobekilled"), "finished", ALL_READY, ""),
    "killed, report unusable": (holding(LOG, command="tobekilled"), "cancelled", LOG_KEPT, "out.root is missing"),
}  # fmt: skip


@pytest.mark.parametrize("name", CASES)
def test_verdict(name: str) -> None:
    job, expected, files, why = CASES[name]
    found, statuses, error = verdict(decide(job))
    assert (found, statuses) == (expected, files)
    assert why in error
    assert bool(error) == bool(why)


SUB = NewBlock("block", BlockKind.SUB, "dest", "lab", 7, "LAB_B_DATADISK", "LAB_A_DATADISK")
MOVING = (FileChange(1, F.TRANSFERRING), FileChange(2, F.TRANSFERRING))


def test_moving_outputs_are_requested_with_size_and_checksum() -> None:
    outcome = decide(holding(ALL), Go(MOVING, transfers=(Transfer(SUB, (1, 2)),)))
    assert isinstance(outcome, Advance)
    assert outcome.trigger is Trigger.OUTPUTS_MOVING
    assert outcome.changes.verdict is None
    assert outcome.changes.blocks == (SUB,)
    (request,) = outcome.changes.messages
    files = {(file["lfn"], file["size"], file["checksum"]) for file in json.loads(request.encode())["files"]}
    assert files == {(lfn, len(factories.CONTENT), factories.CHECKSUM) for lfn in ("out.root", "log.tgz")}


def test_outputs_to_be_merged_are_waited_for_and_what_moves_comes_first() -> None:
    merging = (FileChange(1, F.MERGING), FileChange(2, F.READY))
    outcome = decide(holding(ALL), Go(merging))
    assert isinstance(outcome, Advance)
    assert (outcome.trigger, outcome.changes.messages) == (Trigger.OUTPUTS_MERGING, ())
    outcome = decide(holding(ALL), Go((merging[0], MOVING[1]), transfers=(Transfer(SUB, (2,)),)))
    assert isinstance(outcome, Advance)
    assert outcome.trigger is Trigger.OUTPUTS_MOVING


@pytest.mark.parametrize(
    "plan",
    [Go(), Go((FileChange(1, F.READY),)), Go(MOVING), Go(MOVING, transfers=(Transfer(SUB, (1,)),))],
    ids=["nothing", "one forgotten", "said to move", "one does not move"],
)
def test_an_output_that_a_plan_leaves_open_keeps_the_job(plan: Go) -> None:
    """It would stay `unknown` for ever, and its block open."""
    outcome = decide(holding(ALL), plan)
    assert isinstance(outcome, Defer)
    assert "unsettled" in outcome.reason


def held_for(seconds: float) -> Job:
    """A good job that is holding for so long."""
    return holding(ALL, entered_at=datetime.now(UTC) - timedelta(seconds=seconds))


@pytest.mark.parametrize("plan", [Later("catalogue is away"), Park("catalogue is away")])
def test_temporary_error_is_not_a_failure_until_it_lasted_for_a_day(plan: Plan) -> None:
    assert decide(held_for(0), plan) == Defer("catalogue is away", 1.0)
    assert decide(held_for(GIVE_UP_S - 60), plan) == Defer("catalogue is away", 60.0)
    outcome = decide(held_for(GIVE_UP_S + 1), plan)
    found, statuses, diagnostic = verdict(outcome)
    assert (found, statuses) == ("failed", LOG_KEPT)
    assert diagnostic == "gave up after 24 h: catalogue is away"
    assert isinstance(outcome, Record)
    assert [(error.component, error.code) for error in outcome.changes.errors] == [(Component.DDM, DdmCode.ADDER)]


def test_what_a_plugin_forgets_for_a_day_fails_the_job() -> None:
    found, statuses, diagnostic = verdict(decide(held_for(GIVE_UP_S + 1), Go()))
    assert (found, statuses) == ("failed", LOG_KEPT)
    assert diagnostic == "gave up after 24 h: the plugin left out.root unsettled"


@pytest.mark.parametrize(("code", "told"), [(0, DdmCode.ADDER), (DdmCode.LOCATION, DdmCode.LOCATION)])
def test_refusal_fails_the_job(code: int, told: int) -> None:
    outcome = decide(holding(ALL), Refuse("unknown destination", code))
    assert verdict(outcome) == ("failed", LOG_KEPT, "unknown destination")
    assert isinstance(outcome, Record)
    assert [error.code for error in outcome.changes.errors] == [told]


def test_what_is_registered_already_is_written_while_the_rest_is_waited_for() -> None:
    """With the names that only the pilot knew: the job is read anew when it is looked at again."""
    job = holding(LOG | {"out.root._7": factories.entry()})
    confirmed = (FileChange(1, F.UNKNOWN, None, "G", 5, "ad:00000001"),)
    outcome, effects = decide(job, Later("catalogue is away", confirmed)), Effects()
    assert outcome == Defer(
        "catalogue is away", 1.0, Changes(new_files=(NewFile(1, 1, "out.root._7"),), files=confirmed)
    )
    effects.record(job, outcome.changes)
    assert decide(job, Later("catalogue is away")) == Defer("catalogue is away", 1.0)
    assert verdict(decide(job)) == ("finished", ALL_READY, "")


JOB_REPORT = json.dumps({"files": {"output": [{"subFiles": [{"name": "out.root", "file_guid": "{}"}, 7]}, None]}})


@pytest.mark.parametrize(
    ("metadata", "agrees"),
    [
        (JOB_REPORT.replace("{}", factories.entry()["guid"].lower()), True),
        (JOB_REPORT.replace("{}", "306CCD0D-397F-4E50-B9A4-5A53F7E99AC1"), False),
        (JOB_REPORT[:-5], True),
        ('{"files": {"output": {"out.root": 1}}}', True),
        ("[" * 100_000, True),
        (None, True),
    ],
    ids=["alike but for case", "another", "cut", "of other form", "hostile", "none"],
)
def test_the_job_report_and_the_pilots_report_agree_on_guids(metadata: str | None, agrees: bool) -> None:
    outcome = decide(holding(ALL, label="managed", metadata=metadata))
    assert verdict(outcome)[0] == ("finished" if agrees else "failed")
    assert isinstance(outcome, Record)
    assert [error.code for error in outcome.changes.errors] == ([] if agrees else [DdmCode.GUID])


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
    adder = Adder(Experiments())
    adder.prepare([item])
    assert isinstance(adder.decide(item), Ignore)


def test_what_the_pilot_said_itself_is_no_news() -> None:
    """A pilot that was killed writes no report; its own code says more than that."""
    assert verdict(decide(holding("NULL", "failed", pilot_erred=True))) == ("failed", NOTHING_DONE, "")
    assert verdict(decide(holding("NULL", "failed", has_erred=True))) == ("failed", NOTHING_DONE, ""), "in a heartbeat"
    assert "not JSON" in verdict(decide(holding("NULL", "failed")))[2]
    assert "is missing" in verdict(decide(holding(LOG, pilot_erred=True)))[2]


def test_a_job_without_outputs_has_nothing_to_report() -> None:
    job = holding("NULL")
    job.files = job.files[:1]
    assert verdict(decide(job)) == ("finished", {}, "")
