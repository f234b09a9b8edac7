"""The Setupper's decisions: what it makes of each plan, and what of a plan that leaves something open."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta

import pytest

from consumers.setupper import PARKED_S, UPSTREAM_S, Setupper
from panda_fsm import messages as events
from panda_fsm.blocks.states import BlockKind
from panda_fsm.codes import Component, DdmCode
from panda_fsm.jobs.job import Job, Upstream
from panda_fsm.jobs.report import OutputFile
from panda_fsm.jobs.states import FileStatus, FileType, State
from panda_fsm.outcomes import Advance, Create, Defer, FileChange, Ignore, NewBlock, Outcome, Reject
from panda_fsm.plans import Go, Later, Park, Plan, Refuse, Transfer, Unknown
from tests import factories
from tests.decisions import applied, changed, with_files

F, S = FileStatus, State
BLOCK = NewBlock("b_dis1", BlockKind.DISPATCH, "", "lab", 7, "A", "B")


class Experiments:
    """Answers every job with the plan of the test, and notes what it was asked."""

    def __init__(self, plan: Plan = Go()) -> None:  # noqa: B008  # it is frozen
        self._plan = plan
        self.asked: list[int] = []

    def setup(self, jobs: Sequence[Job]) -> dict[int, Plan]:
        self.asked += [job.job_id for job in jobs]
        return {job.job_id: self._plan for job in jobs}

    def mistrust(self, job: Job, error: str) -> bool:
        return False

    def accuse(self, job: Job, error: str) -> None:
        raise AssertionError("nobody is to blame")

    def refusal(self, vo: str, lfn: str) -> str | None:
        raise AssertionError("the Setupper names no files")

    def keep_logs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        raise AssertionError("the Setupper keeps no logs")

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, Plan]:
        raise AssertionError("the Setupper adds nothing")


def set_up(plan: Plan, job: Job, version: int = 5) -> Outcome:
    """What the Setupper makes of a defined or waiting job."""
    service = Setupper(Experiments(plan))
    item = factories.item(events.JobEvent(job_id=1, version=version, state=job.state, trigger="submitted"), job)
    service.prepare([item])
    return service.decide(item)


def of_one_input(state: State = S.DEFINED, **fields: datetime) -> Job:
    """A job to be set up that reads one file."""
    job = with_files(state, (FileType.INPUT, F.UNKNOWN, ""))
    job.entered_at = fields.get("entered_at", job.entered_at)
    return job


def test_a_job_whose_inputs_are_there_goes_to_the_pilots() -> None:
    job = of_one_input()
    outcome = set_up(Go((FileChange(0, F.READY),)), job)
    assert changed(outcome) == {0: F.READY}
    assert applied(outcome, job) == "activated"


def test_inputs_are_asked_for_with_the_step_that_awaits_them() -> None:
    job = of_one_input()
    outcome = set_up(Go((FileChange(0, F.PENDING, BLOCK.name),), transfers=(Transfer(BLOCK, (0,)),)), job)
    assert isinstance(outcome, Advance)
    (request,) = outcome.changes.messages
    assert isinstance(request, events.TransferRequested)
    assert [file.lfn for file in request.files] == ["file.0"]
    assert (request.block, request.kind, request.source, request.destination) == (BLOCK.name, "dispatch", "A", "B")
    assert outcome.changes.blocks == (BLOCK,), "what is asked for can be asked for again: the block is written"
    assert applied(outcome, job) == "assigned"


@pytest.mark.parametrize(
    "plan", [Go(), Go((FileChange(0, F.PENDING),)), Go((FileChange(0, F.MISSING),))], ids=["nothing", "only said", "no"]
)
def test_an_input_that_is_neither_there_nor_on_its_way_keeps_the_job(plan: Go) -> None:
    outcome = set_up(plan, of_one_input())
    assert outcome == Defer("the plugin left file.0 unsettled", 1.0)


@pytest.mark.parametrize("state", [S.DEFINED, S.WAITING])
@pytest.mark.parametrize(("given", "noted"), [(0, DdmCode.SETUPPER), (101, 101)])
def test_a_job_that_is_refused_fails(state: State, given: int, noted: int) -> None:
    job = of_one_input(state)
    outcome = set_up(Refuse("unknown queue", given), job)
    assert isinstance(outcome, Advance)
    (error,) = outcome.changes.errors
    assert (error.component, error.code, error.diagnostic) == (Component.DDM, noted, "unknown queue")
    assert applied(outcome, job) == "failed"


def test_a_job_whose_input_is_nowhere_waits_and_is_asked_about_until_it_is_somewhere() -> None:
    job = of_one_input()
    nowhere = Unknown("input is on no storage")
    outcome = set_up(nowhere, job)
    assert isinstance(outcome, Advance)
    assert outcome.detail == nowhere.reason
    assert applied(outcome, job) == "waiting"
    job = of_one_input(S.WAITING, entered_at=datetime.now(UTC) - timedelta(seconds=20))
    again = set_up(nowhere, job)
    assert isinstance(again, Defer)
    assert again.reason == nowhere.reason
    assert 20 <= again.after_s <= 25, "sooner than by its reminder, and ever later"
    assert isinstance(set_up(Later("the catalogue is away"), job), Defer)
    assert applied(set_up(Go((FileChange(0, F.READY),)), job), job) == "activated"


def test_a_parked_job_stays_and_says_why() -> None:
    assert set_up(Park("waits for its library"), of_one_input()) == Defer("waits for its library", PARKED_S)


@pytest.mark.parametrize(("age_s", "least", "most"), [(0, 1, 1), (20, 20, 25), (3600, 60, 60)])
def test_a_job_is_asked_about_again_and_ever_later(age_s: int, least: float, most: float) -> None:
    outcome = set_up(Later("catalogue is away"), of_one_input(entered_at=datetime.now(UTC) - timedelta(seconds=age_s)))
    assert isinstance(outcome, Defer)
    assert outcome.reason == "catalogue is away"
    assert least <= outcome.after_s <= most


@pytest.mark.parametrize(("state", "version"), [(S.ACTIVATED, 4), (S.ACTIVATED, 5), (S.DEFINED, 4)])
def test_a_job_that_went_on_is_left_alone(state: State, version: int) -> None:
    experiments = Experiments(Go())
    service = Setupper(experiments)
    event = events.JobEvent(job_id=1, version=version, state=S.DEFINED, trigger="submitted")
    item = factories.item(event, factories.job(state))
    service.prepare([item])
    assert isinstance(service.decide(item), Ignore)
    assert experiments.asked == [], "nor would it come into a bunch with fresh ones"


@pytest.mark.parametrize(
    ("upstream", "outcome"),
    [
        ([S.FINISHED, S.FINISHED], "activated"),
        ([S.FINISHED, S.RUNNING], "waits for job 11, which makes what it reads"),
        ([None], "waits for job 10, which makes what it reads"),
        ([S.RUNNING, S.FAILED], "cancelled"),
        ([S.CLOSED, S.FINISHED], "cancelled"),
        ([S.CANCELLED], "cancelled"),
    ],
)
def test_a_job_waits_for_what_others_make_and_ends_with_them(upstream: list[State | None], outcome: str) -> None:
    job = of_one_input()
    job.upstream = tuple(Upstream(number, state) for number, state in enumerate(upstream, 10))
    experiments = Experiments(Go((FileChange(0, F.READY),)))
    service = Setupper(experiments)
    item = factories.item(events.JobEvent(job_id=1, version=5, state=S.DEFINED, trigger="submitted"), job)
    service.prepare([item])
    assert bool(experiments.asked) == (outcome == "activated"), "nobody is asked for a file that is not made yet"
    found = service.decide(item)
    if isinstance(found, Defer):
        assert (found.reason, found.after_s) == (outcome, UPSTREAM_S)
        return
    assert applied(found, job) == outcome
    if outcome == "cancelled" and isinstance(found, Advance):
        (error,) = found.changes.errors
        assert (error.component, error.code) == ("task_buffer", 100)
        assert "upstream job failed" in error.diagnostic


@pytest.mark.parametrize("to_pending", [False, True])
def test_creates_and_releases(to_pending: bool) -> None:
    service = Setupper(Experiments(Go()))
    created = service.decide(factories.item(factories.submit(factories.draft(1), to_pending=to_pending)))
    assert isinstance(created, Create)
    assert created.trigger == ("submitted_pending" if to_pending else "submitted")
    job = factories.job(S.PENDING)
    assert applied(service.decide(factories.item(events.ReleaseJobs(jobs=[1]), job)), job) == "defined"


def test_a_message_of_another_service_is_rejected() -> None:
    assert isinstance(Setupper(Experiments(Go())).decide(factories.item(events.BlockClosed(block="b"))), Reject)
