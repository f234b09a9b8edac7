"""Deadlines that look at what goes on around a job: only once their time is over, and only where nothing does."""

from __future__ import annotations

from datetime import datetime, timedelta
from itertools import product
from typing import Any

import pytest

from panda_fsm.jobs.appointments import Appointed, Due, appoint, looks_at, overdue_by
from panda_fsm.jobs.facts import FACTS, LIVE, Activity, Kind, Since
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.states import State
from panda_fsm.messages import DeadlinePassed
from panda_fsm.outcomes import Ignore
from tests import factories
from tests.unit.test_appointments import DAY, EVER, HOUR, LIMITS, NOW, a_job, ago, later
from tests.unit.test_consumers_watcher import changes_of, decide, ends_in

S = State
URGENT = {"label": "managed", "priority": 800}
IDLE: list[tuple[State, dict[str, Any], int, Activity, int]] = [
    (S.ACTIVATED, URGENT, 4 * HOUR, Activity.STARTS, 2 * HOUR),
    (S.STARTING, URGENT, 4 * HOUR, Activity.STARTS, 2 * HOUR),
    *(
        (state, {"label": label}, 12 * HOUR, Activity.GOES_ON, 3 * HOUR)
        for state, label in product((S.ASSIGNED, S.ACTIVATED, S.STARTING), ("user", "panda"))
    ),
]


def met(job: Job, last_active: datetime | None, grace_until: datetime = EVER) -> Appointed:
    """What is done of a job around which there was something last at this time."""
    known = {} if last_active is None else {job.job_id: last_active}
    return appoint(job, Due({job.job_id: job}, {}, NOW, grace_until, last_active=known), LIMITS)


@pytest.mark.parametrize(("state", "fields", "lasts", "activity", "quiet"), IDLE)
def test_a_job_ends_where_nothing_goes_on(
    state: State, fields: dict[str, Any], lasts: int, activity: Activity, quiet: int
) -> None:
    times = {"entered_at": ago(lasts), "deadline_at": later(DAY), "heard_at": NOW}
    job = a_job(state, **times, **fields)
    assert looks_at(job, NOW) == (activity, quiet)
    assert looks_at(job, ago(1)) is None, "it is asked when the time is over, and not before"
    for last_active in (None, ago(quiet)):
        (passed,) = met(job, last_active).messages
        assert isinstance(passed, DeadlinePassed)
        assert passed.is_idle
    active = met(job, ago(quiet - 1))
    assert (active.messages, active.look_at) == ((), later(1)), "looked at again when it could pass at the earliest"
    assert met(job, None, grace_until=later(5)).messages == (), "an idleness that was ours ends nobody"
    idle = overdue_by(job, NOW, LIMITS, is_idle=True)
    assert idle is not None
    assert idle.kill == 51
    assert overdue_by(job, NOW, LIMITS) is None, "a program of before announced something else"


@pytest.mark.parametrize(
    ("state", "fields"),
    [
        (S.ACTIVATED, URGENT | {"priority": 799}), (S.ACTIVATED, URGENT | {"task_id": 0}),
        (S.ACTIVATED, URGENT | {"label": "test"}), (S.ASSIGNED, URGENT), (S.SENT, URGENT), (S.RUNNING, URGENT),
        (S.ACTIVATED, {"label": "user", "task_id": 0}), (S.RUNNING, {"label": "user"}), (S.DEFINED, {"label": "user"}),
    ],
)  # fmt: skip
def test_others_do_not_look(state: State, fields: dict[str, Any]) -> None:
    assert looks_at(a_job(state, entered_at=ago(10 * DAY), **fields), NOW) is None


def test_the_watcher_goes_by_what_the_clock_found() -> None:
    entered = datetime.now(NOW.tzinfo) - timedelta(hours=4)
    job = factories.job(S.ACTIVATED, entered_at=entered, **URGENT)
    announced = DeadlinePassed(job_id=1, state=S.ACTIVATED, version=5)
    assert isinstance(decide(announced, job), Ignore)
    outcome = decide(announced.model_copy(update={"is_idle": True}), job)
    changes = changes_of(outcome)
    assert (ends_in(outcome, job), changes.pilot) == (S.CLOSED, {"job_sub_status": "toreassign"})
    assert [(error.component, error.code) for error in changes.errors] == [("task_buffer", 100)]


def test_a_job_looks_at_one_thing_and_from_its_entry() -> None:
    kinds = [
        Kind(label, priority, True, has_report)
        for label, priority, has_report in product(("managed", "test", "user", "panda"), (0, 1000), (False, True))
    ]
    for state, kind in product(LIVE, kinds):
        looking = [one for one in FACTS[state].deadlines if one.unless is not None and one.is_for(kind)]
        assert len(looking) <= 1
        assert all(one.since is Since.ENTERED for one in looking)
