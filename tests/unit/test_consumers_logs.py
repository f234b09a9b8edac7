"""The logs of jobs that fail: registered as their experiment wants it, and waited for, but not for ever."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pytest

from consumers.adder import GIVE_UP_LOG_S, Adder
from panda_fsm.jobs.states import State
from panda_fsm.messages import JobEvent, OutputsAdded
from panda_fsm.outcomes import Defer, FileChange, Record
from panda_fsm.plans import Go, Later, Park, Plan, Refuse, Transfer
from tests import factories
from tests.unit.test_consumers_adder import ALL, LOG, NOTHING_DONE, SUB, Experiments, F, decide, holding, verdict


@pytest.mark.parametrize("plan", [Later("catalogue is away"), Park("catalogue is away")])
def test_a_job_that_fails_waits_an_hour_for_its_log(plan: Plan) -> None:
    """Its failure is no secret meanwhile, but its log is what people look for."""
    recent, old = (
        holding(LOG, "failed", entered_at=datetime.now(UTC) - timedelta(seconds=age_s))
        for age_s in (0, GIVE_UP_LOG_S + 1)
    )
    assert decide(recent, log_plan=plan) == Defer("its log: catalogue is away", 1.0)
    assert verdict(decide(old, log_plan=plan)) == (
        "failed", NOTHING_DONE, "its log is not kept: catalogue is away"
    )  # fmt: skip


def test_a_log_that_is_refused_is_failed_beside_the_reason_of_its_job() -> None:
    outcome = decide(holding(LOG), log_plan=Refuse("it is not there"))
    assert verdict(outcome) == (
        "failed", NOTHING_DONE, "out.root is missing in the pilot's report; its log is not kept: it is not there"
    )  # fmt: skip
    assert verdict(decide(holding(LOG, "failed"), log_plan=Go()))[1] == NOTHING_DONE, "left open"


def test_the_log_of_a_failed_job_moves_if_its_plugin_wants() -> None:
    outcome = decide(holding(LOG, "failed"), log_plan=Go((FileChange(2, F.READY),), transfers=(Transfer(SUB, (2,)),)))
    assert isinstance(outcome, Record)
    request, added = outcome.changes.messages
    assert [file["lfn"] for file in json.loads(request.encode())["files"]] == ["log.tgz"]
    assert isinstance(added, OutputsAdded)
    assert outcome.changes.blocks == (SUB,)


def test_experiments_are_asked_about_the_logs_of_jobs_that_fail() -> None:
    """For whatever reason they do; and about nothing where there is no log to keep."""
    experiments = Experiments(Refuse("never"))
    jobs = [
        holding(ALL, "failed", job_id=1), holding(LOG, job_id=2), holding(ALL, job_id=3), holding("NULL", job_id=4),
        holding({"log.tgz": factories.entry(fsize=-1)}, "failed", job_id=5),
    ]  # fmt: skip
    Adder(experiments).prepare(
        [factories.item(JobEvent(job_id=job.job_id, version=5, state=State.HOLDING, trigger="x"), job) for job in jobs]
    )
    assert experiments.asked_about_logs == [{1: ["log.tgz"], 2: ["log.tgz"], 3: ["log.tgz"]}]


def test_experiments_are_asked_once_a_batch_and_about_good_jobs_only() -> None:
    experiments = Experiments()
    jobs = [holding(ALL, job_id=1), holding(LOG, "failed", job_id=2), holding("NULL", job_id=3), holding(ALL, job_id=4)]
    items = [
        factories.item(JobEvent(job_id=job.job_id, version=5, state=State.HOLDING, trigger="x"), job)
        for job in (*jobs, jobs[0])
    ]
    Adder(experiments).prepare(items)
    assert experiments.asked == [[1, 4]]
