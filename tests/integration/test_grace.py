"""Whose silence it was: heartbeats that somebody acknowledged, outages of ours, and more losses than can be true."""

from __future__ import annotations

import pytest

from panda_fsm.jobs.states import State
from tests import factories
from tests.clockwork import Clock, appointment_s, enter, lost_for, overdue, said
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.polling import wait_until

S = State
JOBS = 20
IDS = range(1, JOBS + 1)


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..20."""
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in IDS)))
    return database


def test_no_more_losses_a_second_than_agreed(jobs: Database, database_url: str) -> None:
    """If all pilots seem silent at once, it is not they who are to blame."""
    clock = Clock(database_url, losses_per_s=10)
    enter(jobs, IDS, S.RUNNING, deadline_at="-1 s")
    enter(jobs, [1, 2], S.ACTIVATED, deadline_at="-1 s")
    before = jobs.value("SELECT now()")
    assert not clock.slice("deadlines")
    announced = overdue(said(jobs))
    assert len(announced) == 2 + 10, "what nobody is silent in ends as it should"
    assert {1, 2} <= set(announced)
    assert "silent jobs wait" in (clock.condition.trouble or "")
    soon = "SELECT count(*) FROM job_deadline WHERE deadline_at < %s::timestamptz + interval '1 s'"
    assert jobs.value(soon, (before,)) == 0

    def all_announced() -> bool:
        clock.slice("deadlines")
        announced.extend(overdue(said(jobs)))
        return len(announced) == JOBS

    wait_until(all_announced, "the others, in their turns")
    wait_until(lambda: clock.slice("deadlines") or clock.condition.trouble is None, "the end of the alarm")
    assert sorted(announced) == list(IDS)
    clock.close()


def heard(database: Database, *job_ids: int) -> None:
    """The gateway acknowledged a heartbeat of these jobs just now."""
    database.rows(
        "INSERT INTO job_heard SELECT unnest(%s::bigint[]), now() ON CONFLICT (job_id) DO UPDATE SET heard_at = now()"
        " RETURNING 1",
        (list(job_ids),),
    )


def test_a_heartbeat_that_was_acknowledged_counts_whenever_it_is_handled(jobs: Database, clock: Clock) -> None:
    """The queue of heartbeats may be long; whoever says thank you writes down when."""
    enter(jobs, IDS, S.RUNNING, deadline_at="-1 s")
    heard(jobs, *range(1, 11))
    clock.round("deadlines")
    assert overdue(said(jobs)) == list(range(11, JOBS + 1))
    assert 7100 < appointment_s(jobs, 1) <= 7200


def test_after_an_outage_of_two_hours_nobody_is_lost_for_the_silence_that_was_ours(
    jobs: Database, clock: Clock
) -> None:
    """Clock and gateway were down. Half an hour and a little more, and who still says nothing is lost."""
    enter(jobs, IDS, S.RUNNING, deadline_at="2 h")
    clock.round("pulse")
    lost_for(jobs, 2 * 3600 + 600)
    clock.round("deadlines")
    assert overdue(said(jobs)) == [], "whichever loop is the first to come up again"
    clock.round("pulse")
    lost_for_all = "UPDATE job_deadline SET deadline_at = now() - interval '1 s' RETURNING 1"
    jobs.rows(lost_for_all)
    clock.round("deadlines")
    assert overdue(said(jobs)) == []
    assert 2000 < appointment_s(jobs, 1) <= 2100, "one period of heartbeats"
    heard(jobs, *range(1, 11))
    jobs.rows("UPDATE pulse SET grace_until = grace_until - interval '35 min' RETURNING 1")
    jobs.rows(lost_for_all)
    clock.round("pulse")
    clock.round("deadlines")
    assert overdue(said(jobs)) == list(range(11, JOBS + 1))


def test_while_no_gateway_listens_nobody_is_lost(jobs: Database, clock: Clock) -> None:
    """The daemon was never down; but pilots had nobody to speak to."""
    enter(jobs, IDS, S.RUNNING, deadline_at="-1 s")
    enter(jobs, [1], S.ACTIVATED, deadline_at="-1 s")
    jobs.rows("INSERT INTO pulse (name, ticked_at) VALUES ('gateway', now() - interval '2 min') RETURNING 1")
    clock.round("pulse")
    clock.round("deadlines")
    assert overdue(said(jobs)) == [1], "this one waits for no pilot's word"
    assert "nobody listens to pilots: gateway for 2 min" in (clock.condition.trouble or "")
    assert 0 < appointment_s(jobs, 2) <= 60
    jobs.rows("UPDATE pulse SET ticked_at = now() WHERE name = 'gateway' RETURNING 1")
    jobs.rows("UPDATE job_deadline SET deadline_at = now() WHERE job_id > 1 RETURNING 1")
    clock.round("pulse")
    clock.round("deadlines")
    assert overdue(said(jobs)) == list(IDS)[1:]
    assert clock.condition.trouble is None
