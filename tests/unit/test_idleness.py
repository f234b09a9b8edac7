"""Deadlines that look at what goes on around a job: only once their time is over, and only where nothing does."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from panda_fsm.codes import Component, TaskBufferCode
from panda_fsm.jobs.appointments import Appointed, Due, appoint, asks_again, looks_at, overdue_by
from panda_fsm.jobs.deadlines import SAID_BY_PILOTS, Activity, Kind, Since
from panda_fsm.jobs.facts import FACTS, LIVE
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import State
from panda_fsm.messages import DeadlinePassed
from panda_fsm.outcomes import Ignore, JobError
from tests import factories
from tests.unit.test_appointments import DAY, EVER, HOUR, LIMITS, NOW, a_job, ago, later
from tests.unit.test_consumers_watcher import changes_of, decide, ends_in

S = State
URGENT = {"label": "managed", "priority": 800}
MERGES = {"label": "managed", "processing_type": "pmerge"}
IDLE: list[tuple[State, dict[str, Any], int, Activity, int]] = [
    (S.ACTIVATED, URGENT, 4 * HOUR, Activity.STARTS, 2 * HOUR),
    (S.STARTING, URGENT, 4 * HOUR, Activity.STARTS, 2 * HOUR),
    *(
        (state, {"label": label}, 12 * HOUR, Activity.GOES_ON, 3 * HOUR)
        for state, label in product((S.ASSIGNED, S.ACTIVATED, S.STARTING), ("user", "panda"))
    ),
]


def met(job: Job, what: Activity, last: datetime | None, grace_until: datetime = EVER) -> Appointed:
    """What is done of a job around which there was this last at that time, and all else is going on."""
    known = dict.fromkeys(Activity, NOW) | {what: last}
    active = {activity: at for activity, at in known.items() if at is not None}
    return appoint(job, Due({job.job_id: job}, {}, NOW, grace_until, last_active={job.job_id: active}), LIMITS)


@pytest.mark.parametrize(("state", "fields", "lasts", "activity", "quiet"), IDLE)
def test_a_job_ends_where_nothing_goes_on(
    state: State, fields: dict[str, Any], lasts: int, activity: Activity, quiet: int
) -> None:
    times = {"entered_at": ago(lasts), "deadline_at": later(DAY), "heard_at": NOW}
    job = a_job(state, **times, **fields)
    assert [*looks_at(job, NOW)] == [(activity, quiet)]
    assert [*looks_at(job, ago(1))] == [], "it is asked when the time is over, and not before"
    for last in (None, ago(quiet)):
        (passed,) = met(job, activity, last).messages
        assert isinstance(passed, DeadlinePassed)
        assert passed.is_idle, "programs of before know it by this"
        assert passed.missed == {activity}
    active = met(job, activity, ago(quiet - 1))
    assert (active.messages, active.look_at) == ((), later(1)), "looked at again when it could pass at the earliest"
    assert met(job, activity, None, grace_until=later(5)).messages == (), "an idleness that was ours ends nobody"
    for missed in (SAID_BY_PILOTS, frozenset({activity})):
        idle = overdue_by(job, NOW, LIMITS, missed)
        assert idle is not None
        assert idle.kill == 51
    assert overdue_by(job, NOW, LIMITS) is None, "a program of before announced something else"


BEFORE_ITS_END = sorted(LIVE - {S.SENT, S.MERGING})


@pytest.mark.parametrize("state", BEFORE_ITS_END)
def test_a_job_that_merges_ends_without_what_it_merges(state: State) -> None:
    """Half an hour in its state, and ten minutes after a job that it is to merge has ended."""
    times = {"entered_at": ago(HOUR / 2), "deadline_at": later(DAY), "heard_at": NOW, "has_report": False}
    job = a_job(state, **times, **MERGES)
    assert [*looks_at(job, NOW)] == [(Activity.AWAITED, 600)]
    assert [*looks_at(job, ago(1))] == []
    assert [*looks_at(a_job(state, **times, label="managed"), NOW)] == [], "it merges nothing"
    (passed,) = met(job, Activity.AWAITED, ago(600)).messages
    assert isinstance(passed, DeadlinePassed)
    assert passed.is_idle is None, "programs of before take it for nothing"
    assert passed.missed == {Activity.AWAITED}
    there = met(job, Activity.AWAITED, NOW)
    assert there.look_at <= later(600)
    assert not there.overdue
    assert met(job, Activity.AWAITED, ago(599)).look_at == later(1)
    now = datetime.now(NOW.tzinfo)
    job.entered_at, job.deadline_at, job.created_at = now - timedelta(minutes=30), now + timedelta(1), now
    outcome = decide(passed, job)
    assert ends_in(outcome, job) is S.CANCELLED
    (error,) = changes_of(outcome).errors
    diagnostic = "what it merges is not there any more: a job that made it has ended"
    assert error == JobError(Component.TASK_BUFFER, TaskBufferCode.KILLED, diagnostic)


def test_each_deadline_goes_by_what_it_looks_at() -> None:
    """An urgent job that merges has two: at a queue where nothing starts it is to be submitted anew."""
    job = a_job(S.ACTIVATED, entered_at=ago(4 * HOUR), deadline_at=later(DAY), **URGENT, processing_type="pmerge")
    assert {unless.activity for unless in looks_at(job, NOW)} == {Activity.STARTS, Activity.AWAITED}
    kills = {activity: overdue_by(job, NOW, LIMITS, frozenset({activity})) for activity in Activity}
    assert {activity: one and one.kill for activity, one in kills.items()} == {
        Activity.STARTS: 51, Activity.GOES_ON: None, Activity.AWAITED: 52
    }  # fmt: skip
    for activity in (Activity.STARTS, Activity.AWAITED):
        (passed,) = met(job, activity, None).messages
        assert isinstance(passed, DeadlinePassed)
        assert passed.missed == {activity}


def test_merging_is_asked_for_again_after_two_hours() -> None:
    waited: dict[str, Any] = {"label": "managed", "entered_at": ago(2 * HOUR)}
    assert asks_again(a_job(S.MERGING, **waited), NOW) == 2 * HOUR
    for other in ({"entered_at": ago(2 * HOUR - 1)}, {"label": "user"}):
        assert asks_again(a_job(S.MERGING, **waited | other), NOW) is None
    assert [state for state in State if asks_again(a_job(state, **waited), NOW)] == [S.MERGING]


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        (S.ACTIVATED, URGENT | {"priority": 799}), (S.ACTIVATED, URGENT | {"task_id": 0}),
        (S.ACTIVATED, URGENT | {"label": "test"}), (S.ASSIGNED, URGENT), (S.SENT, URGENT), (S.RUNNING, URGENT),
        (S.ACTIVATED, URGENT | {"no_reassign": True}), (S.STARTING, URGENT | {"no_reassign": True}),
        (S.ACTIVATED, {"label": "user", "task_id": 0}), (S.RUNNING, {"label": "user"}), (S.DEFINED, {"label": "user"}),
    ],
)  # fmt: skip
def test_others_do_not_look(state: State, fields: dict[str, Any]) -> None:
    assert [*looks_at(a_job(state, entered_at=ago(10 * DAY), **fields), NOW)] == []


def test_the_watcher_goes_by_what_the_clock_found() -> None:
    entered = datetime.now(NOW.tzinfo) - timedelta(hours=4)
    job = factories.job(S.ACTIVATED, entered_at=entered, **URGENT)
    announced = DeadlinePassed(job_id=1, state=S.ACTIVATED, version=5)
    assert isinstance(decide(announced, job), Ignore)
    outcome = decide(announced.model_copy(update={"is_idle": True}), job)
    changes = changes_of(outcome)
    assert (ends_in(outcome, job), changes.pilot) == (S.CLOSED, {"job_sub_status": "toreassign"})
    assert [(error.component, error.code) for error in changes.errors] == [("task_buffer", 100)]


def test_a_job_looks_at_one_thing_of_what_pilots_say_and_from_its_entry() -> None:
    """Programs of before do not say at which."""
    kinds = [
        Kind(label, priority, True, has_report, merges)
        for label, priority, has_report, merges in product(
            ("managed", "test", "user", "panda"), (0, 1000), (False, True), (False, True)
        )
    ]
    for state, kind in product(LIVE, kinds):
        looking = [one for one in FACTS[state].deadlines if one.unless is not None and one.is_for(kind)]
        assert len([one for one in looking if one.unless and one.unless.activity in SAID_BY_PILOTS]) <= 1
        assert all(one.since is Since.ENTERED for one in looking)


def test_who_is_not_to_be_reassigned_stays_in_starting() -> None:
    """While its pilot speaks."""
    times: dict[str, Any] = {"entered_at": ago(48 * HOUR), "deadline_at": later(HOUR), "heard_at": NOW}
    for fields, kill in (({}, 51), ({"no_reassign": True}, None)):
        passed = overdue_by(a_job(S.STARTING, label="managed", **times, **fields), NOW, LIMITS)
        assert (passed.kill if passed else None) == kill
