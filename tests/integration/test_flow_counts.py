"""What is new in job_history is counted once and whole: late commits, crashes, two daemons, jobs in the archive."""

from __future__ import annotations

import re

import psycopg
import pytest

from panda_fsm.jobs.states import State
from panda_fsm.views.flow import bucket_of
from sql import flow
from sql.session import _BY_INDEX
from tests import factories
from tests.clockwork import Clock, enter
from tests.driver import Database
from tests.history import LIFE, count_from, walk
from tests.inprocess import Serve
from tests.integration.test_by_index import read_through
from tests.integration.test_process import Creator
from tests.polling import wait_until

COUNTED = """SELECT t.event, c.span, c.site <> '', sum(c.jobs)::int FROM transition_count c
             JOIN job_transition t USING (transition_id) GROUP BY 1, 2, 3 ORDER BY 1, 2, 3"""
JOBS = "SELECT sum(jobs)::int FROM transition_count WHERE site = '' AND span = 60"
LOST = (*LIFE[:4], ("lost", "running"))
SPANS = ((60, False), (60, True), (3600, False), (3600, True))


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..4 without a history."""
    serve(Creator()).handle(factories.submit(*(factories.draft(number) for number in range(1, 5))))
    database.execute("DELETE FROM job_history")
    return database


def test_each_step_is_counted_once_in_each_span_with_its_time(jobs: Database, clock: Clock) -> None:
    walk(jobs, 1, (40, 39.5, 30))
    walk(jobs, 2, (3600 * 30, 600, 500))
    count_from(jobs, clock)
    once = [("acquired", 2), ("inputs_at_site", 2), ("submitted", 1)]
    assert jobs.rows(COUNTED) == [(event, *span, n) for event, n in once for span in SPANS]
    clock.round("flow")
    assert jobs.rows(COUNTED) == [(event, *span, n) for event, n in once for span in SPANS], "not a second time"
    times = """SELECT t.event, c.bucket::int, round(c.seconds)::int FROM transition_count c
               JOIN job_transition t USING (transition_id) WHERE span = 3600 AND site = %s ORDER BY 1, 2"""
    assert jobs.rows(times, (factories.QUEUE,)) == [
        ("acquired", bucket_of(9.5), 10), ("acquired", bucket_of(100), 100),
        ("inputs_at_site", bucket_of(0.5), 0), ("inputs_at_site", bucket_of(3600 * 30 - 600), 3600 * 30 - 600),
        ("submitted", -1, 0),
    ]  # fmt: skip


def test_the_buckets_of_the_database_are_those_of_the_rules(jobs: Database, clock: Clock) -> None:
    lasts = (0.0, 0.0007, 0.0011, 0.0019, 0.012, 0.3, 7, 1000, 200_000)
    for number, seconds in enumerate(lasts, start=10):
        walk(jobs, number, (60 + seconds, 60))
    count_from(jobs, clock)
    found = jobs.rows(
        "SELECT bucket::int, jobs::int FROM transition_count WHERE span = 60 AND bucket >= 0 AND site = ''"
    )
    expected = [bucket_of(seconds) for seconds in lasts]
    assert sorted(bucket for bucket, n in found for _ in range(n)) == sorted(expected)
    assert jobs.value("SELECT DISTINCT site FROM transition_count WHERE site <> ''") == "?", "nobody knows these jobs"


def test_what_is_committed_late_is_waited_for(jobs: Database, clock: Clock, database_url: str) -> None:
    with psycopg.connect(database_url) as late:
        began = late.execute(
            "INSERT INTO job_history (job_id, version, transition_id, service, host)"
            " SELECT 1, 1, transition_id, 'late', 'here' FROM job_transition WHERE event = 'submitted' RETURNING now()"
        ).fetchall()[0][0]
        walk(jobs, 2, (0,))
        wait_until(
            lambda: jobs.value("SELECT clock_timestamp() > %s + interval '3 s'", (began,)), "three seconds later"
        )
        count_from(jobs, clock, "5 s")
        assert jobs.value("SELECT until <= %s FROM history_counted", (began,)), "not beyond its begin"
        late.commit()
    clock.round("flow")
    assert jobs.value(JOBS) == 2


def test_what_was_undone_is_counted_again_and_once(jobs: Database, clock: Clock) -> None:
    walk(jobs, 1, (50, 49, 48))
    jobs.execute(
        "CREATE FUNCTION crash() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE 'crash'; END $$;"
        "CREATE TRIGGER crash AFTER UPDATE ON history_counted FOR EACH ROW WHEN (new.until > now() - interval '2 min')"
        " EXECUTE FUNCTION crash()"
    )
    with pytest.raises(psycopg.Error, match="crash"):
        count_from(jobs, clock, "3 min")
    assert jobs.value(JOBS) is None
    jobs.execute("DROP TRIGGER crash ON history_counted")
    clock.round("flow")
    assert jobs.value(JOBS) == 3


def test_one_clock_counts_at_a_time(jobs: Database, clock: Clock, database_url: str) -> None:
    walk(jobs, 1, (50, 49, 48))
    with psycopg.connect(database_url) as other:
        other.execute("SELECT pg_advisory_xact_lock(7237128, hashtext('flow'))")
        count_from(jobs, clock)
        assert jobs.value(JOBS) is None
    clock.round("flow")
    assert jobs.value(JOBS) == 3


def test_how_jobs_ended_is_counted_by_site_and_node_and_of_jobs_in_the_archive_too(
    jobs: Database, clock: Clock
) -> None:
    enter(jobs, (1, 2, 3), State.FINISHED, deadline_at="-1 hour")
    jobs.execute("UPDATE job SET node = 'wn-1' WHERE job_id <= 2")
    clock.round("archive")
    assert jobs.value("SELECT count(*) FROM job_archive") > 0
    for job_id in (1, 2, 3):
        walk(jobs, job_id, (90, 80, 60, 50, 40, 30))
    walk(jobs, 4, (90, 80, 60, 50, 40), LOST)
    count_from(jobs, clock)
    ended = "SELECT sum(finished)::int, sum(failed)::int, sum(given)::int, round(sum(waited_s))::int FROM site_ended"
    for span in (60, 3600):
        assert jobs.rows(f"{ended} WHERE site = %s AND span = %s", (factories.QUEUE, span)) == [(3, 1, 4, 80)]
    assert jobs.rows("SELECT node, sum(finished)::int, sum(failed)::int FROM node_ended GROUP BY 1") == [("wn-1", 2, 0)]


def test_errors_are_counted_by_code_with_a_text_that_names_nobody(jobs: Database, clock: Clock) -> None:
    for job_id in (1, 2, 3):
        enter(jobs, [job_id], State.FAILED)
        walk(jobs, job_id, (90, 80, 60, 50, 40), LOST)
        error = f'{{"pilot": {{"code": 1305, "diag": "job {job_id} of ana.user died in /home/ana/x"}}}}'
        jobs.execute("UPDATE job SET user_name = 'ana.user', errors = %s WHERE job_id = %s", (error, job_id))
    jobs.execute("""UPDATE job SET errors = errors || '{"ddm": {"code": 200, "diag": ""}}' WHERE job_id = 2""")
    jobs.execute("UPDATE job SET errors = NULL WHERE job_id = 3")
    count_from(jobs, clock)
    found = "SELECT component, code::int, sum(jobs)::int, min(sample) FROM error_count GROUP BY 1, 2 ORDER BY 1"
    assert jobs.rows(found) == [
        ("", 0, 1, ""), ("ddm", 200, 1, ""), ("pilot", 1305, 2, "job # of <user> died in /home/<user>/x"),
    ]  # fmt: skip


@pytest.mark.parametrize("text", [flow._COUNT, flow._BAD_ENDS], ids=["count", "bad_ends"])
def test_history_is_read_by_its_indexes(database_url: str, text: str) -> None:
    with psycopg.connect(database_url, autocommit=True, options=_BY_INDEX) as connection:
        connection.execute("ALTER TABLE job_history DISABLE TRIGGER USER")
        connection.execute(
            "INSERT INTO job_history (job_id, version, transition_id, at, service, host) SELECT n, 1, 1,"
            " now() - n * interval '10 ms', 'test', 'a host' FROM generate_series(1, 30000) n ORDER BY n DESC"
        )
        connection.execute("ANALYZE job_history")
        window = connection.execute("SELECT now() - interval '10 s', now()").fetchall()[0]
        explained = {"since": window[0], "until": window[1]}
        plan = connection.execute(f"EXPLAIN (FORMAT JSON) {text}".encode(), explained).fetchall()[0][0][0]["Plan"]
    assert list(read_through(plan)) == []
    assert re.search(r"'Bitmap Index Scan', [^{]*'job_history_\w*at_idx'", str(plan))
