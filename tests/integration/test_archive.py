"""The archive: all of a job goes, at the time it ended; one that cannot go keeps nobody else."""

from __future__ import annotations

import threading
from typing import Any

import psycopg
import pytest

from consumers.finisher import Finisher
from panda_fsm.codes import Verdict
from panda_fsm.errors import SystemicError
from panda_fsm.jobs.states import State
from panda_fsm.messages import DeadlinePassed, OutputsAdded
from tests import factories
from tests.clockwork import Clock, add_ended, appointment_s, enter, in_block, said
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.polling import wait_until

S = State
IDS = range(1, 21)
LIVE_TABLES = ("job", "job_file", "job_spec", "job_deadline", "job_heard", "job_told")


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..20, which ended two days ago."""
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in IDS)))
    enter(database, IDS, S.FINISHED, 2 * 86400, deadline_at="-1 s")
    database.rows("INSERT INTO job_heard SELECT job_id, now() FROM job RETURNING 1")
    database.rows("INSERT INTO job_told SELECT job_id, 'debug', gen_random_uuid() FROM job RETURNING 1")
    return database


def as_json(database: Database, table: str) -> dict[tuple[int, int], dict[str, Any]]:
    """All rows of a table as documents, by job and number."""
    rows = database.rows(f"SELECT to_jsonb(t) FROM {table} t")  # noqa: S608
    return {(row["job_id"], row.get("seq", 0)): row for (row,) in rows}


def left(database: Database) -> list[int]:
    """Jobs that are not archived."""
    return [job_id for (job_id,) in database.rows("SELECT job_id FROM job ORDER BY 1")]


def test_all_of_a_job_goes_and_nothing_is_changed(jobs: Database, clock: Clock) -> None:
    jobs.rows(
        """UPDATE job SET errors = '{"exe": {"code": 1}}', pilot = '{"node": "n"}', command = 'tobekilled', node = 'n',
           holder = 'h', waits_for = 'w', verdict = 'failed', started_at = now() RETURNING 1"""
    )
    before = {table: as_json(jobs, table) for table in ("job", "job_file", "job_spec")}
    clock.round("archive")
    for table, rows in before.items():
        archived = as_json(jobs, f"{table}_archive")
        ended = {job_id: row["ended_at"] for (job_id, _), row in before["job"].items()}
        assert archived == {key: row | {"ended_at": ended[key[0]]} for key, row in rows.items()}
        assert rows
    assert [table for table in LIVE_TABLES if as_json(jobs, table)] == []
    assert jobs.value("SELECT count(*) FROM job_ended e JOIN job_archive a USING (job_id, ended_at)") == len(IDS)


def test_a_column_more_is_archived_or_nothing_is(jobs: Database, database_url: str, clock: Clock) -> None:
    """A migration that forgets the archive is noticed by the first slice, and no value gets lost until it is mended."""
    with psycopg.connect(database_url, autocommit=True) as migration:
        migration.execute("ALTER TABLE job_file ADD COLUMN colour text DEFAULT 'red'")
    with pytest.raises(SystemicError, match="job_file_archive has no column colour"):
        clock.slice("archive")
    assert left(jobs) == list(IDS)
    with psycopg.connect(database_url, autocommit=True) as migration:
        migration.execute("ALTER TABLE job_file_archive ADD COLUMN colour text")
    clock.round("archive")
    assert jobs.rows("SELECT DISTINCT colour FROM job_file_archive") == [("red",)]
    assert left(jobs) == []


def test_a_job_that_cannot_be_archived_stays_alone_and_says_why(jobs: Database, clock: Clock) -> None:
    """Once this stopped all deadlines of all jobs for ever."""
    jobs.rows("INSERT INTO job_ended (job_id, ended_at) VALUES (7, now()) RETURNING 1")
    jobs.rows("UPDATE job SET ended_at = NULL WHERE job_id = 8 RETURNING 1")
    assert not clock.slice("archive")
    assert left(jobs) == [7, 8]
    ((seven,), (eight,)) = jobs.rows("SELECT trouble FROM job_deadline ORDER BY job_id")
    assert "UniqueViolation" in seven
    assert "NotNullViolation" in eight
    assert 3500 < appointment_s(jobs, 7) <= 3600
    jobs.rows("DELETE FROM job_ended WHERE job_id = 7 RETURNING 1")
    jobs.rows("UPDATE job SET ended_at = now() WHERE job_id = 8 RETURNING 1")
    jobs.rows("UPDATE job_deadline SET deadline_at = now() RETURNING 1")
    clock.round("archive")
    assert left(jobs) == []


def test_a_job_waits_for_its_complete_blocks_to_be_closed(jobs: Database, clock: Clock) -> None:
    """The Closer finds them by its files. A block that waits for others' files keeps nobody."""
    in_block(jobs, [1, 2], "sub", "ready", "complete")
    in_block(jobs, [3], "sub", "ready", "unfinished")
    enter(jobs, [4], S.RUNNING)
    jobs.rows("UPDATE job_file SET block_id = (SELECT block_id FROM job_file WHERE job_id = 3 AND seq = 1)"
              " WHERE job_id = 4 AND seq = 1 RETURNING 1")  # fmt: skip
    in_block(jobs, [5], "dispatch", "failed", "given up")
    clock.round("archive")
    assert left(jobs) == [1, 2, 4, 5]
    assert 0 < appointment_s(jobs, 1) <= 60
    jobs.rows("UPDATE data_block SET status = 'tobeclosed' RETURNING 1")
    jobs.rows("UPDATE job_deadline SET deadline_at = now() RETURNING 1")
    clock.round("archive")
    assert left(jobs) == [4]


def test_a_job_that_somebody_holds_stays_and_keeps_nobody(jobs: Database, database_url: str, clock: Clock) -> None:
    with psycopg.connect(database_url) as other:
        other.execute("SELECT FROM job WHERE job_id = 3 FOR UPDATE")
        assert not clock.slice("archive")
        assert left(jobs) == [3]
    wait_until(lambda: clock.slice("archive") or left(jobs) == [], "job 3")


def test_nobody_goes_early_and_who_lives_after_all_gets_his_deadlines_back(jobs: Database, clock: Clock) -> None:
    enter(jobs, [1], S.FINISHED, deadline_at="100 s")
    jobs.rows("UPDATE job SET state = 'running', deadline_at = now() + interval '1 h' WHERE job_id = 2 RETURNING 1")
    clock.round("archive")
    assert left(jobs) == [1, 2]
    assert 90 < appointment_s(jobs, 1) <= 100
    clock.round("deadlines")
    assert not jobs.value("SELECT ended FROM job_deadline WHERE job_id = 2")
    assert appointment_s(jobs, 2) > 3500


def test_the_last_step_of_a_job_makes_its_appointment_with_the_archive(
    serve: Serve, jobs: Database, clock: Clock
) -> None:
    enter(jobs, [1], S.HOLDING, has_report=True)
    jobs.rows("UPDATE job_deadline SET deadline_at = now() + interval '48 h' WHERE job_id = 1 RETURNING 1")
    serve(Finisher()).handle(OutputsAdded(job_id=1, version=5, verdict=Verdict.FAILED))
    assert jobs.value("SELECT ended FROM job_deadline WHERE job_id = 1")
    assert 590 < appointment_s(jobs, 1) <= 600


def test_a_full_archive_does_not_keep_the_clock_from_a_deadline(
    jobs: Database, database_url: str, clock: Clock
) -> None:
    """All duties at work, thousands of ended jobs are due, and the deadline of a live one passed later than theirs."""
    enter(jobs, [1], S.ACTIVATED, deadline_at="-1 s")
    add_ended(database_url, range(1001, 9001))
    ending = threading.Event()
    thread = threading.Thread(target=clock.go_on, args=(ending,))
    thread.start()
    try:
        wait_until(lambda: jobs.value("SELECT count(*) FROM outbox"), "the announcement")
        assert jobs.value("SELECT count(*) FROM job WHERE state = 'finished'") > 0, "the archive is not done"
        wait_until(lambda: left(jobs) == [1], "an archive that is done", 60)
    finally:
        ending.set()
        thread.join(20)
    assert [type(message) for message in said(jobs)] == [DeadlinePassed]
    assert clock.condition.trouble is None
