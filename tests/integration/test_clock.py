"""Deadlines and reminders on a real database: lost messages heal, our own silence fails nobody, nobody starves."""

from __future__ import annotations

import threading
from datetime import timedelta
from typing import Any

import psycopg
import pytest

from consumers.watcher import Watcher
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import LIVE, TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.messages import CheckBlock, JobEvent, OutputsAdded, TransferRequested
from sql.appointments import make_appointments_now
from tests import factories
from tests.clockwork import Clock, add_ended, appointment_s, enter, in_block, lost_for, overdue, said
from tests.driver import Database
from tests.inprocess import LIMITS, Serve
from tests.integration.test_process import Creator
from tests.polling import wait_until

S = State
JOBS = 20
IDS = range(1, JOBS + 1)


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..20, defined; what was said of them is said."""
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in IDS)))
    return database


PENDING: dict[str, tuple[State, dict[str, Any], tuple[str, str] | None, type]] = {
    "defined": (S.DEFINED, {}, None, JobEvent),
    "assigned": (S.ASSIGNED, {}, ("dispatch", "pending"), TransferRequested),
    "holding": (S.HOLDING, {"has_report": True}, None, JobEvent),
    "added": (S.HOLDING, {"has_report": True, "verdict": "finished"}, None, OutputsAdded),
    "transferring": (S.TRANSFERRING, {"has_report": True}, ("sub", "transferring"), TransferRequested),
}


@pytest.mark.parametrize("case", PENDING)
def test_a_message_that_was_lost_is_said_again_and_again(jobs: Database, clock: Clock, case: str) -> None:
    """The broker was emptied, and what the daemon said too: in every state the job is helped on within minutes."""
    state, fields, files, kind = PENDING[case]
    enter(jobs, [1], state, 60, **fields)
    if files:
        in_block(jobs, [1], *files)
        # No file of it is still to come, so the Closer has closed it before they move.
        jobs.execute("UPDATE data_block SET status = 'closed' WHERE kind = 'sub'")
    minutes = 60 * [10, 2][state in (S.DEFINED, S.HOLDING)]
    jobs.rows("DELETE FROM job_deadline WHERE job_id <> 1 RETURNING 1")
    for _ in range(3):
        clock.round("deadlines")
        assert said(jobs) == [], "it is early yet"
        lost_for(jobs, int(appointment_s(jobs, 1)) + 1)
        clock.round("deadlines")
        (message,) = said(jobs)
        assert isinstance(message, kind)
        assert appointment_s(jobs, 1) <= 4 * minutes
        enter(jobs, [1], state, 60, **fields)


def test_a_transfer_is_asked_for_once_a_block_however_many_jobs_share_its_files(jobs: Database, clock: Clock) -> None:
    enter(jobs, IDS, S.ASSIGNED)
    in_block(jobs, IDS, "dispatch", "pending")
    clock.round("deadlines")
    (asked,) = said(jobs)
    assert isinstance(asked, TransferRequested)
    assert (asked.block, asked.source, asked.destination) == ("block", "FROM", "TO")
    assert [file.lfn for file in asked.files] == [factories.INPUT]


def test_a_deadline_is_announced_and_ends_the_job_by_what_it_waited_for(
    jobs: Database, clock: Clock, serve: Serve
) -> None:
    states = sorted(LIVE)
    for job_id, state in enumerate(states, start=1):
        enter(jobs, [job_id], state, deadline_at="-1 s")
    enter(jobs, range(len(states) + 1, JOBS + 1), S.RUNNING)
    clock.round("deadlines")
    announced = said(jobs)
    assert overdue(announced) == list(range(1, len(states) + 1))
    serve(Watcher(LIMITS)).handle(*announced)
    ends = {
        "sent": ("activated", None), "starting": ("failed", 100), "running": ("failed", 100),
        "holding": ("failed", 103), "transferring": ("failed", 104), "defined": ("closed", None),
        "activated": ("closed", None), "pending": ("closed", None), "assigned": ("closed", None),
        "waiting": ("closed", None), "throttled": ("closed", None),
        "merging": ("failed", None),
    }  # fmt: skip
    query = "SELECT state, errors -> 'job_dispatcher' -> 'code' FROM job WHERE job_id <= %s ORDER BY job_id"
    assert jobs.rows(query, (len(states),)) == [ends[state] for state in states]
    assert jobs.states()["running"] == JOBS - len(states)


def test_thousands_of_ended_jobs_do_not_delay_a_deadline(jobs: Database, database_url: str, clock: Clock) -> None:
    """They have an index and a loop of their own; those that a program of the release before ended are handed over."""
    crowd = range(1001, 9001)
    add_ended(database_url, crowd)
    enter(jobs, [1], S.SENT, deadline_at="-1 s")
    clock.slice("deadlines")
    assert overdue(said(jobs)) == [1], "in the first slice"
    jobs.rows("UPDATE job_deadline SET ended = false WHERE job_id > 1000 RETURNING 1")
    enter(jobs, [2], S.SENT, deadline_at="-1 s")
    clock.round("deadlines")
    assert overdue(said(jobs)) == [2]
    assert jobs.value("SELECT count(*) FROM job_deadline WHERE ended") == len(crowd)


def test_a_job_that_somebody_holds_is_left_alone_and_holds_up_nobody(
    jobs: Database, database_url: str, clock: Clock
) -> None:
    """Else an old deadline could be written over the appointment of, say, a claim that commits a moment later."""
    enter(jobs, IDS, S.SENT, deadline_at="-1 s")
    with psycopg.connect(database_url) as claim:
        claim.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
        assert not clock.slice("deadlines")
        assert overdue(said(jobs)) == list(IDS)[1:]
        assert 0 < appointment_s(jobs, 1) <= 1, "soon again, but not before all the others"
    wait_until(lambda: clock.slice("deadlines") or overdue(said(jobs)) == [1], "job 1")
    assert not clock.slice("deadlines")


def test_a_claim_that_comes_while_its_job_is_put_off_keeps_its_appointment(
    jobs: Database, database_url: str, clock: Clock
) -> None:
    enter(jobs, [1], S.ACTIVATED)
    with psycopg.connect(database_url) as claim:
        claim.execute("UPDATE job SET deadline_at = now() + interval '30 min' WHERE job_id = 1")
        clock.slice("deadlines")
        sooner = (
            "UPDATE job_deadline SET deadline_at = now() + interval '30 min' WHERE job_id = 1 AND deadline_at > now()"
        )
        claim.execute(sooner + " + interval '30 min'")
    assert appointment_s(jobs, 1) <= 1800


def test_an_appointment_of_a_job_that_is_no_more_is_dropped(jobs: Database, clock: Clock) -> None:
    enter(jobs, [1], S.SENT, deadline_at="-1 s")
    jobs.rows("DELETE FROM job WHERE job_id = 1 RETURNING 1")
    clock.round("deadlines")
    assert jobs.value("SELECT count(*) FROM job_deadline WHERE job_id = 1") == 0


def test_a_job_that_cannot_be_read_is_put_off_alone(jobs: Database, clock: Clock) -> None:
    """A newer program runs beside this one and knows a state more."""
    enter(jobs, IDS, S.SENT, deadline_at="-1 s")
    jobs.rows("UPDATE job SET state = 'dreaming' WHERE job_id = 7 RETURNING 1")
    assert not clock.slice("deadlines")
    assert overdue(said(jobs)) == [number for number in IDS if number != 7]
    assert jobs.rows("SELECT job_id, trouble FROM job_deadline WHERE trouble IS NOT NULL") == [
        (7, "ValueError: 'dreaming' is not a valid State")
    ]
    assert 3500 < appointment_s(jobs, 7) <= 3600
    jobs.rows("UPDATE job SET state = 'sent' WHERE job_id = 7 RETURNING 1")
    lost_for(jobs, 3601)
    clock.round("deadlines")
    assert 7 in overdue(said(jobs))
    assert jobs.value("SELECT count(*) FROM job_deadline WHERE trouble IS NOT NULL") == 0


def test_replay_makes_every_appointment_now(jobs: Database, database_url: str, clock: Clock) -> None:
    """A reminder is sent though one was sent a second ago; nobody is called lost, nothing is archived early."""
    enter(jobs, [1], S.DEFINED, 1)
    enter(jobs, [2], S.HOLDING, 1, has_report=True)
    enter(jobs, [3], S.RUNNING, 1)
    enter(jobs, [4], S.FINISHED, 1)
    jobs.rows("DELETE FROM job_deadline WHERE job_id > 4 RETURNING 1")
    jobs.rows("INSERT INTO request (message_id, routing_key, body) SELECT gen_random_uuid(), 'kill', '{}' RETURNING 1")
    clock.round("deadlines")
    assert said(jobs) == []
    for _ in range(2):
        assert make_appointments_now(database_url) == (3, 1)
        clock.round("deadlines")
        assert sorted(message.routing_key for message in said(jobs)) == ["job.defined", "job.holding"]
        assert jobs.value("SELECT sent_at < now() - interval '1 day' FROM request")
        jobs.rows("UPDATE request SET sent_at = now() RETURNING 1")
    clock.round("archive")
    assert jobs.value("SELECT count(*) FROM job WHERE state = 'finished'") == 1


def test_replay_waits_for_nobody_while_it_holds_rows(jobs: Database, database_url: str, clock: Clock) -> None:
    enter(jobs, IDS, S.DEFINED, 1)
    clock.round("deadlines")
    done: list[tuple[int, int]] = []
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job_deadline WHERE job_id = 5 FOR UPDATE")
        replay = threading.Thread(target=lambda: done.append(make_appointments_now(database_url)))
        replay.start()
        waiting = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'replay' AND wait_event_type = 'Lock'"
        wait_until(lambda: jobs.value(waiting), "the replay at job 5")
        assert jobs.value("SELECT count(*) FROM job_deadline WHERE deadline_at = 'epoch'") == JOBS - 1
    replay.join(30)
    assert done == [(JOBS, 0)]


def test_the_closer_is_reminded_of_blocks_that_are_complete_but_open(jobs: Database, clock: Clock) -> None:
    """One word a block, not one a job; other blocks are none of its business."""
    enter(jobs, IDS, S.FINISHED)
    in_block(jobs, [1, 2], "sub", "ready", "complete")
    in_block(jobs, [3, 4], "sub", "unknown", "unfinished")
    in_block(jobs, [5, 6], "dispatch", "failed", "given up")
    in_block(jobs, [7, 8], "dispatch", "pending", "under way")
    in_block(jobs, [9], "sub", "ready", "closed")
    jobs.rows("UPDATE data_block SET status = 'closed' WHERE name = 'closed' RETURNING 1")
    clock.round("blocks")
    found = said(jobs)
    assert all(isinstance(message, CheckBlock) for message in found)
    assert sorted(message.block for message in found if isinstance(message, CheckBlock)) == ["complete", "given up"]
    assert [message.job_ids[0] in (1, 2, 5, 6) for message in found] == [True] * 2, "programs before know it by a job"
    jobs.execute("UPDATE data_block SET created_at = now() - interval '2 min'")
    passing = "UPDATE data_block SET asked_at = asked_at - %(past)s, created_at = created_at - %(past)s"
    for seconds, words in (
        (110, 0),
        (20, 2),
        (200, 0),
        (80, 2),
        (400, 0),
        (200, 2),
        (880, 0),
        (40, 2),
        (880, 0),
        (40, 2),
    ):
        jobs.execute(passing, {"past": timedelta(seconds=seconds)})
        clock.round("blocks")
        assert len(said(jobs)) == words, "again and again, but ever more seldom, or they would fill a dead queue"


def test_two_clocks_do_each_thing_once(jobs: Database, database_url: str) -> None:
    enter(jobs, IDS, S.SENT, deadline_at="-1 s")
    clocks = [Clock(database_url) for _ in range(3)]
    ending = threading.Event()
    threads = [threading.Thread(target=clock.go_on, args=(ending,)) for clock in clocks]
    for thread in threads:
        thread.start()
    wait_until(lambda: jobs.value("SELECT count(*) FROM outbox") >= JOBS, "announcements")
    ending.set()
    for clock, thread in zip(clocks, threads, strict=True):
        thread.join(20)
        clock.close()
    assert overdue(said(jobs)) == list(IDS)
    assert [clock.condition.trouble for clock in clocks] == [None, None, None]


def test_a_duty_is_done_by_one_clock_at_a_time(jobs: Database, database_url: str, clock: Clock) -> None:
    enter(jobs, IDS, S.SENT, deadline_at="-1 s")
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7237128, hashtext('deadlines'))")
        assert not clock.slice("deadlines")
        assert said(jobs) == []
    clock.slice("deadlines")
    assert overdue(said(jobs)) == list(IDS)


def test_a_database_that_is_away_is_trouble_that_passes(database_url: str) -> None:
    gone = Clock(database_url.replace("/test_", "/not_there_"), limits=TableLimits({}, {}))
    with pytest.raises(TransientError):
        gone.slice("deadlines")
