"""The seat: what tells pilots apart, and what becomes of jobs whose pilots are silent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.watcher import Watcher
from gateway.wire.pilot_requests import AcquireRequest
from gateway.work.places import place
from panda_fsm.effects import Effects
from panda_fsm.jobs.facts import HANDED_OUT_AGAIN, TableLimits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.judgement import JobRow, Judgement, judge
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import DeadlinePassed
from panda_fsm.outcomes import Advance, Ignore, Outcome
from tests import factories

S = State
OVERDUE = datetime.now(UTC) - timedelta(seconds=1)
WORKER: dict[str, Any] = {"site_name": "Q", "node": "n1", "harvester_id": "h", "worker_id": 77}
FACTORY = {"site_name": "Q", "node": "n1", "scheduler_id": "h", "worker_id": 77}
SLOT = {"site_name": "Q", "node": "slot1_2@n1"}


def place_of(holder: str = "pilot", **fields: Any) -> str | None:
    return place(holder, AcquireRequest.model_validate(fields))


@pytest.mark.parametrize("ask", [WORKER, FACTORY, SLOT], ids=["worker", "factory", "slot"])
def test_the_same_pilot_has_the_same_place_whatever_else_it_says(ask: dict[str, Any]) -> None:
    again = ask | {"memory": 1, "task_id": 7, "worker_id": str(ask["worker_id"]) if "worker_id" in ask else None}
    assert place_of(**ask) == place_of(**again) is not None


@pytest.mark.parametrize(
    "other",
    [{"worker_id": 78}, {"harvester_id": "i"}, {"node": "n2"}, {"site_name": "R"}, {"holder": "another"}],
    ids=lambda other: next(iter(other)),
)
def test_what_makes_it_another_pilot(other: dict[str, Any]) -> None:
    fields: dict[str, Any] = WORKER | other
    assert place_of(**WORKER) != place_of(**fields)


@pytest.mark.parametrize(
    "ask",
    [{}, {"scheduler_id": "unknown"}, {"scheduler_id": "factory"}, {"worker_id": ""}, {"worker_id": "NULL"},
     {"harvester_id": "h", "worker_id": 0}, {"node": "a@b"}],
    ids=str,
)  # fmt: skip
def test_where_nothing_tells_pilots_apart_there_is_no_place(ask: dict[str, Any]) -> None:
    """A machine runs many pilots with one token, a factory sends thousands."""
    assert place_of(**({"site_name": "Q", "node": "n1"} | ask)) is None


def test_parts_of_a_place_do_not_run_into_each_other() -> None:
    assert place_of(site_name="Q", harvester_id="a", worker_id="bc") != place_of(
        site_name="Q", harvester_id="ab", worker_id="c"
    )


def decide(message: Any, job: Job) -> Outcome:
    """What the Watcher makes of a message about a job."""
    return Watcher(TableLimits({}, {})).decide(factories.item(message, job))


def passed(job: Job) -> DeadlinePassed:
    """The deadline of this very state of the job."""
    return DeadlinePassed(job_id=1, state=job.state, version=job.version)


def ends_in(outcome: Outcome, job: Job) -> State:
    """Apply an Advance as process.py does."""
    assert isinstance(outcome, Advance), outcome
    Effects().step(job, outcome.trigger, "cause", outcome.detail)
    return job.state


def test_a_job_whose_pilot_never_spoke_goes_to_another_one_but_not_for_ever() -> None:
    job = factories.job(S.SENT, deadline_at=OVERDUE)
    effects = Effects()
    for number in range(1, HANDED_OUT_AGAIN + 1):
        outcome = decide(passed(job), job)
        assert isinstance(outcome, Advance)
        assert outcome.changes.errors == (), "it is no error of the job"
        effects.step(job, outcome.trigger, "cause", outcome.detail)
        assert (job.state, job.returns) == (S.ACTIVATED, number)
        effects.step(job, Trigger.ACQUIRED, "cause", None)
    assert ends_in(decide(passed(job), job), job) is S.FAILED
    heard = factories.job(S.SENT, deadline_at=OVERDUE, entered_at=OVERDUE - timedelta(hours=2))
    heard.heard_at = OVERDUE - timedelta(hours=1)
    assert ends_in(decide(passed(heard), heard), heard) is S.FAILED, "its pilot spoke: it may still work"


def test_a_report_that_was_accepted_before_the_job_went_to_another_pilot_changes_nothing() -> None:
    job = factories.job(S.SENT, returns=1)
    assert isinstance(decide(factories.report(1, "finished", returns=0), job), Ignore)
    assert ends_in(decide(factories.report(1, "starting", returns=1), job), job) is S.STARTING


def row(**fields: Any) -> JobRow:
    """A job as it is read before a report is judged."""
    values: dict[str, Any] = {
        "job_id": 1, "state": S.SENT, "attempt_nr": 0, "owner": "o", "holder": "p", "label": "user", "command": None,
        "batch_id": None, "has_report": False, "node": "n2",
    }  # fmt: skip
    return JobRow(**(values | fields))


@pytest.mark.parametrize(
    ("left_by", "node", "is_ghost"),
    [
        (["n1"], "n1", True),
        (["n1"], "n2", False),
        (["n1", "n2"], "n2", False),
        (["n1"], "n3", False),
        (["n1"], None, False),
        (None, "n1", False),
    ],
    ids=[
        "was silent",
        "has it",
        "was silent and has it now",
        "of whoever acquired for it",
        "unsaid",
        "nobody was silent",
    ],
)
def test_the_pilot_that_lost_the_job_by_silence_is_a_ghost(
    left_by: list[str] | None, node: str | None, is_ghost: bool
) -> None:
    """All pilots of a queue may share one token: who had the job before is known by its node."""
    report = factories.report(1, "starting", attributes={} if node is None else {"node": node})
    assert (judge(report, row(left_by=left_by), True) is Judgement.GHOST) == is_ghost
