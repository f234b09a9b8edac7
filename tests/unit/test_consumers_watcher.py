"""The Watcher's decisions: the kill matrix of docs/semantics.md §1.3, pilot reports, deadlines."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from consumers.watcher import Watcher
from panda_fsm.effects import Effects
from panda_fsm.jobs.facts import FINAL, HANDED_OUT_AGAIN, LIVE, TableLimits
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import State
from panda_fsm.machine import Ignored
from panda_fsm.messages import DeadlinePassed, KillJob
from panda_fsm.outcomes import Advance, Changes, Ignore, Outcome, Record
from tests import factories

S = State
CODES = (0, 2, 3, 4, 7, 8, 9, 10, 50, 51, 52, 55, 60, 91, 99)
CLOSING = {2, 4, 10, 51, 55, 60}
ERROR_OF = {2: 102, 4: 102, 3: 103, 8: 105, 10: 130}


def decide(message: Any, job: Job) -> Outcome:
    """What the Watcher makes of a message about a job."""
    return Watcher(TableLimits({}, {})).decide(factories.item(message, job))


def ends_in(outcome: Outcome, job: Job) -> State:
    """Apply an Advance as process.py does."""
    assert isinstance(outcome, Advance), outcome
    step = Effects().step(job, outcome.trigger, "cause", outcome.detail)
    assert not isinstance(step, Ignored)
    return job.state


def changes_of(outcome: Outcome) -> Changes:
    """What is written beside."""
    assert isinstance(outcome, Advance | Record), outcome
    return outcome.changes


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("code", CODES)
@pytest.mark.parametrize("state", sorted(LIVE))
def test_kill_of_a_live_job(state: State, code: int, forced: bool) -> None:
    job = factories.job(state)
    outcome = decide(KillJob(job_id=1, code=code, actor="somebody", forced=forced), job)
    error = changes_of(outcome).errors[0]
    assert error.code == ERROR_OF.get(code, 100)
    assert "somebody" in error.diagnostic
    if state is S.RUNNING and not forced:
        assert isinstance(outcome, Record), "killing a running job is a request to its pilot"
        assert outcome.changes.command == "tobekilled"
        assert error.component == "kill", "it is the job's error once its pilot has obeyed"
    else:
        assert error.component == "task_buffer"
        assert ends_in(outcome, job) is (S.CLOSED if code in CLOSING else S.CANCELLED)


def test_history_says_for_sure_who_killed() -> None:
    outcome = decide(KillJob(job_id=1, actor="Jane Doe", actor_key="s:12"), factories.job(S.ACTIVATED))
    assert isinstance(outcome, Advance)
    assert (outcome.detail or "").endswith("(s:12)")
    assert "s:12" not in changes_of(outcome).errors[0].diagnostic


@pytest.mark.parametrize("forced", [False, True])
@pytest.mark.parametrize("state", sorted(FINAL))
def test_kill_of_a_final_job_changes_nothing(state: State, forced: bool) -> None:
    assert isinstance(decide(KillJob(job_id=1, code=9, forced=forced), factories.job(state)), Ignore)


def test_second_soft_kill_changes_nothing_but_a_forced_one_ends_the_job() -> None:
    told = factories.job(S.RUNNING, command="tobekilled")
    assert isinstance(decide(KillJob(job_id=1, code=3), told), Ignore)
    assert ends_in(decide(KillJob(job_id=1, code=9, forced=True), told), told) is S.CANCELLED


# state of the job, what the pilot reports: the state afterwards; None: nothing changes, False: it is renewed only.
REPORTS: dict[tuple[State, str], State | bool | None] = {
    (S.SENT, "starting"): S.STARTING, (S.SENT, "running"): S.RUNNING, (S.SENT, "finished"): S.HOLDING,
    (S.SENT, "failed"): S.HOLDING, (S.SENT, "holding"): S.HOLDING, (S.SENT, "transferring"): S.TRANSFERRING,
    (S.STARTING, "starting"): False, (S.STARTING, "running"): S.RUNNING, (S.STARTING, "finished"): S.HOLDING,
    (S.STARTING, "failed"): S.HOLDING, (S.RUNNING, "starting"): False, (S.RUNNING, "running"): False,
    (S.RUNNING, "finished"): S.HOLDING, (S.RUNNING, "failed"): S.HOLDING, (S.RUNNING, "holding"): S.HOLDING,
    (S.RUNNING, "transferring"): S.TRANSFERRING,
    (S.HOLDING, "starting"): False, (S.HOLDING, "running"): False, (S.HOLDING, "holding"): False,
    (S.HOLDING, "transferring"): False,
    (S.TRANSFERRING, "starting"): False, (S.TRANSFERRING, "running"): False, (S.TRANSFERRING, "holding"): False,
    (S.TRANSFERRING, "transferring"): False, (S.TRANSFERRING, "finished"): S.HOLDING,
    (S.TRANSFERRING, "failed"): S.HOLDING,
    (S.FINISHED, "running"): None, (S.FINISHED, "finished"): None, (S.FAILED, "finished"): None,
    (S.CANCELLED, "finished"): None, (S.CLOSED, "running"): None,
}  # fmt: skip


@pytest.mark.parametrize(("state", "reported"), REPORTS)
def test_report(state: State, reported: str) -> None:
    expected = REPORTS[state, reported]
    job = factories.job(state)
    outcome = decide(factories.report(1, reported), job)
    if expected is False:
        assert isinstance(outcome, Record)
        assert outcome.renews, "a heartbeat must renew the deadline"
    elif expected is None:
        assert isinstance(outcome, Advance)
        assert isinstance(Effects().step(job, outcome.trigger, "cause", None), Ignored)
        assert job.state is state
    else:
        assert ends_in(outcome, job) is expected
        assert (changes_of(outcome).report is not None) == (reported in ("finished", "failed"))


@pytest.mark.parametrize("state", [S.HOLDING, S.TRANSFERRING])
@pytest.mark.parametrize("last", ["finished", "failed"])
def test_final_report_is_taken_after_a_declared_holding_but_once(last: str, state: State) -> None:
    job = factories.job(state)
    outcome = decide(factories.report(1, last), job)
    assert ends_in(outcome, job) is S.HOLDING
    assert changes_of(outcome).report is not None
    job.has_report = True
    again = decide(factories.report(1, last), job)
    assert isinstance(again, Advance)
    assert isinstance(Effects().step(job, again.trigger, "cause", None), Ignored)


def test_report_of_another_attempt_changes_nothing() -> None:
    assert isinstance(decide(factories.report(1, "finished", attempt_nr=2), factories.job(attempt_nr=1)), Ignore)


@pytest.mark.parametrize(
    ("attributes", "errors"),
    [
        ({"pilot_error_code": 1305, "pilot_error_diag": "no"}, {"pilot": (1305, "no")}),
        ({"pilot_error_code": "1305"}, {"pilot": (1305, "")}),
        ({"exe_error_code": -5, "exe_error_diag": "x" * 900}, {"exe": (-5, "x" * 500)}),
        ({"trans_exit_code": "65", "pilot_error_code": 0}, {"trans": (65, "")}),
        ({"pilot_error_code": ""}, {}),
        ({"pilot_error_code": "NULL"}, {}),
        ({"pilot_error_code": "--5"}, {}),
        ({"pilot_error_diag": "why"}, {"pilot": (0, "why")}),
        (
            {
                "sup_error_code": 1,
                "sup_error_diag": "s",
                "ddm_error_code": 2,
                "brokerage_error_code": 3,
                "job_dispatcher_error_code": 4,
                "task_buffer_error_code": 5,
            },
            {"sup": (1, "s"), "ddm": (2, ""), "brokerage": (3, ""), "job_dispatcher": (4, ""), "task_buffer": (5, "")},
        ),
        ({"kill_error_code": 5}, {}),
        ({"pilot_error_code": "²"}, {}),
        ({"pilot_error_code": 1e300}, {}),
        ({}, {}),
    ],
)
def test_errors_of_a_failed_report(attributes: dict[str, Any], errors: dict[str, tuple[int, str]]) -> None:
    changes = changes_of(decide(factories.report(1, "failed", attributes=attributes), factories.job(S.RUNNING)))
    assert {e.component: (e.code, e.diagnostic) for e in changes.errors} == errors


def passed(job: Job, **fields: Any) -> DeadlinePassed:
    """The deadline of this very state of the job."""
    values: dict[str, Any] = {"job_id": 1, "state": job.state, "version": job.version}
    return DeadlinePassed(**(values | fields))


OVERDUE = datetime.now(UTC) - timedelta(seconds=1)
ENDS_OF_DEADLINES = {
    S.PENDING: (S.CLOSED, "task_buffer", 102), S.DEFINED: (S.CLOSED, "task_buffer", 102),
    S.WAITING: (S.CLOSED, "task_buffer", 102), S.THROTTLED: (S.CLOSED, "task_buffer", 102),
    S.ASSIGNED: (S.CLOSED, "task_buffer", 102), S.ACTIVATED: (S.CLOSED, "task_buffer", 102),
    S.SENT: (S.FAILED, "job_dispatcher", 102), S.STARTING: (S.FAILED, "job_dispatcher", 100),
    S.RUNNING: (S.FAILED, "job_dispatcher", 100), S.HOLDING: (S.FAILED, "job_dispatcher", 103),
    S.TRANSFERRING: (S.FAILED, "job_dispatcher", 104),
    S.MERGING: (S.FAILED, "task_buffer", 113),
}  # fmt: skip


@pytest.mark.parametrize("state", sorted(LIVE))
def test_deadline_ends_the_job(state: State) -> None:
    job = factories.job(state, deadline_at=OVERDUE, returns=HANDED_OUT_AGAIN)
    outcome = decide(passed(job), job)
    error, sub_status = changes_of(outcome).errors[0], changes_of(outcome).pilot
    assert (ends_in(outcome, job), error.component, error.code) == ENDS_OF_DEADLINES[state]
    assert sub_status == ({"job_sub_status": "toreassign"} if job.state is S.CLOSED else None)


@pytest.mark.parametrize(
    ("job", "fields", "why"),
    [
        (factories.job(S.HOLDING, deadline_at=OVERDUE), {"state": S.RUNNING}, "went on"),
        (factories.job(S.RUNNING, deadline_at=OVERDUE), {"version": 4}, "went on"),
        (factories.job(S.RUNNING), {}, "heartbeat came in time"),
        (factories.job(S.FINISHED, deadline_at=OVERDUE), {"state": S.RUNNING}, "went on"),
    ],
)
def test_deadline_that_is_none_any_more(job: Job, fields: dict[str, Any], why: str) -> None:
    outcome = decide(passed(job, **fields), job)
    assert isinstance(outcome, Ignore)
    assert why in outcome.reason


def test_holding_with_a_pending_report_is_not_the_jobs_fault() -> None:
    """The daemon says its event or verdict again instead."""
    job = factories.job(S.HOLDING, has_report=True, deadline_at=OVERDUE)
    assert isinstance(decide(passed(job), job), Ignore)


def test_killed_job_whose_pilot_dies_is_failed() -> None:
    job = factories.job(S.RUNNING, command="tobekilled", deadline_at=OVERDUE)
    assert ends_in(decide(passed(job), job), job) is S.FAILED


def test_a_kill_asks_the_pilot_and_does_not_pass_for_a_heartbeat() -> None:
    """Else each kill of a silent job would put its loss off by two hours."""
    outcome = decide(KillJob(job_id=1, code=9), factories.job(S.RUNNING))
    assert isinstance(outcome, Record)
    assert not outcome.renews


def test_a_heartbeat_that_only_the_gateway_saw_keeps_the_job() -> None:
    """Its message may lie in a long queue: whoever acknowledged it has written it down."""
    job = factories.job(S.RUNNING, deadline_at=OVERDUE, heard_at=datetime.now(UTC) - timedelta(minutes=5))
    assert isinstance(decide(passed(job), job), Ignore)
    job.heard_at = datetime.now(UTC) - timedelta(hours=3)
    assert ends_in(decide(passed(job), job), job) is S.FAILED


def test_an_expired_job_says_what_it_waited_for() -> None:
    job = factories.job(S.DEFINED, deadline_at=OVERDUE, waits_for="storage A is unreachable")
    error = changes_of(decide(passed(job), job)).errors[0]
    assert error.diagnostic == "expired in defined (storage A is unreachable)"


def test_all_that_a_pilot_says_is_kept_but_what_has_a_place_of_its_own() -> None:
    told = {"node": "n", "avg_rss": 5, "tot_rbytes": 6, "job_sub_status": "s", "memory_leak": 7,
            "source_site": "A", "end_time": "2026-11-22T23:11:57+00:00", "trans_exit_code": 0}  # fmt: skip
    elsewhere = {"metadata": "{}", "stdout": "out", "pilot_log": "log", "pilot_error_code": 1305, "timestamp": "now"}
    changes = changes_of(decide(factories.report(1, "failed", attributes=told | elsewhere), factories.job(S.RUNNING)))
    assert changes.pilot == told
    assert changes.report is not None
    assert changes.report["attributes"] == told | elsewhere


def test_a_report_without_an_attempt_is_of_the_job_as_it_is() -> None:
    outcome = decide(factories.report(1, "finished", attempt_nr=None), factories.job(S.RUNNING, attempt_nr=2))
    report = changes_of(outcome).report
    assert report is not None
    assert report["attempt_nr"] == 2


def test_an_update_of_another_batch_is_noted_and_nothing_else() -> None:
    outcome = decide(
        factories.report(1, "running", attributes={"batch_id": "a.b#2"}, foreign_batch=True), factories.job(S.RUNNING)
    )
    assert isinstance(outcome, Record)
    assert not outcome.renews
    (error,) = outcome.changes.errors
    assert (error.component, error.code) == ("sup", 1)
    assert "a.b#2" in error.diagnostic
    assert outcome.changes.pilot is None


def test_a_job_that_ended_meanwhile_is_not_told_of_another_batch() -> None:
    ghost = factories.report(1, "running", attributes={"batch_id": "a.b#2"}, foreign_batch=True)
    assert isinstance(decide(ghost, factories.job(S.CANCELLED)), Ignore)


GIVEN_BACK = {"job_sub_status": "pilot_closed", "pilot_error_code": 1305}


@pytest.mark.parametrize("state", [S.SENT, S.STARTING, S.RUNNING, S.HOLDING, S.TRANSFERRING])
def test_a_job_that_its_pilot_gives_back_is_closed(state: State) -> None:
    job = factories.job(state)
    outcome = decide(factories.report(1, "failed", attributes=GIVEN_BACK), job)
    assert ends_in(outcome, job) is S.CLOSED
    assert {(e.component, e.code) for e in changes_of(outcome).errors} == {("pilot", 1305), ("task_buffer", 100)}
    assert changes_of(outcome).report is not None


@pytest.mark.parametrize("job", [factories.job(S.HOLDING, has_report=True), factories.job(S.FAILED, has_report=True)])
def test_it_is_closed_only_while_its_last_words_are_awaited(job: Job) -> None:
    outcome = decide(factories.report(1, "failed", attributes=GIVEN_BACK), job)
    assert isinstance(outcome, Advance)
    assert isinstance(Effects().step(job, outcome.trigger, "cause", None), Ignored)
