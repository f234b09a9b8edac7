"""What goes on at a queue and in a task, as the database knows it: jobs end where nothing does, and only there."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from consumers.watcher import Watcher
from panda_fsm.effects import Effects
from panda_fsm.jobs.states import State
from sql import appointments, requests, store
from tests import factories
from tests.clockwork import Clock, appointment_s, enter, overdue, said
from tests.driver import Database
from tests.inprocess import LIMITS, Serve, put
from tests.integration.test_process import Creator

S = State
HOUR = 3600
STARTED = "SELECT started_at FROM queue_start WHERE site = %s"


def test_urgent_jobs_end_at_queues_where_nothing_starts(serve: Serve, database: Database, clock: Clock) -> None:
    """One at a queue where jobs start, one where they did three hours ago, one where none ever did."""
    queues = ("BUSY", "IDLE", "NEW")
    serve(Creator()).handle(
        factories.submit(
            *(factories.draft(n, site=site, label="managed", priority=800) for n, site in enumerate(queues, start=1))
        )
    )
    database.execute(
        "INSERT INTO queue_start VALUES ('BUSY', now() - interval '30 min'), ('IDLE', now() - interval '3 h')"
    )
    enter(database, [1, 2, 3], S.ACTIVATED, 4 * HOUR - 60)
    clock.round("deadlines")
    assert overdue(said(database)) == []
    assert all(0 < appointment_s(database, n) <= 60 for n in (1, 2, 3))
    enter(database, [1, 2, 3], S.ACTIVATED, 4 * HOUR, deadline_at="1 day")
    clock.round("deadlines")
    announced = said(database)
    assert overdue(announced) == [2, 3]
    assert 1.4 * HOUR < appointment_s(database, 1) <= 1.5 * HOUR, "when the last start is two hours ago"
    serve(Watcher(LIMITS)).handle(*announced)
    query = "SELECT state, pilot ->> 'job_sub_status' FROM job ORDER BY job_id"
    assert database.rows(query) == [("activated", None), ("closed", "toreassign"), ("closed", "toreassign")]


def idle_but_for_a_report(serve: Serve, database: Database, clock: Clock, age: str) -> list[int]:
    """Which of an urgent job of production (1) and one of a user (2), both idle for long, are announced while a report
    that a job runs has waited for so long."""
    urgent = factories.draft(1, label="managed", priority=800)
    serve(Creator()).handle(factories.submit(urgent, factories.draft(2)))
    enter(database, [1, 2], S.ACTIVATED, 12 * HOUR, deadline_at="1 day")
    database.execute(
        "INSERT INTO request (message_id, routing_key, body, accepted_at)"
        " VALUES (gen_random_uuid(), 'report.running', '{}', now() - %s::interval)",
        (age,),
    )
    clock.round("deadlines")
    return overdue(said(database))


def test_nothing_is_idle_while_nobody_handles_what_pilots_say(serve: Serve, database: Database, clock: Clock) -> None:
    """Else an outage of the Watchers, or of the broker, would end all urgent jobs with its end."""
    assert idle_but_for_a_report(serve, database, clock, "2 min") == []
    assert all(500 < appointment_s(database, n) <= 600 for n in (1, 2))
    database.execute("UPDATE request SET accepted_at = now()")
    database.execute("UPDATE job_deadline SET deadline_at = now()")
    clock.round("deadlines")
    assert overdue(said(database)) == [1, 2]


def test_a_report_that_is_put_off_keeps_jobs_no_longer_than_a_start_would(
    serve: Serve, database: Database, clock: Clock
) -> None:
    """For the queue it is two hours, for the task three."""
    assert idle_but_for_a_report(serve, database, clock, "121 min") == [1]
    database.execute("UPDATE request SET accepted_at = now() - interval '181 min'")
    database.execute("UPDATE job_deadline SET deadline_at = now() WHERE job_id = 2")
    clock.round("deadlines")
    assert overdue(said(database)) == [2]


@pytest.mark.parametrize(
    "query", [appointments._Q["start_waits"], store._Q["oldest_submission"], requests._Q["submission_waits"]]
)
def test_requests_that_wait_are_found_by_an_index(database_url: str, query: str) -> None:
    parameters = {"seconds": HOUR, "age_s": 60}
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(f"EXPLAIN {query}".encode(), parameters).fetchall()
    assert "request_waiting" in str(plan)
    assert "Seq Scan on" not in str(plan)


def _nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan, part by part."""
    yield plan
    for part in plan.get("Plans", ()):
        yield from _nodes(part)


def test_a_task_is_read_once_however_many_of_its_jobs_are_looked_at(
    serve: Serve, database: Database, database_url: str
) -> None:
    """Each has a definition of its own; the slice is locked meanwhile."""
    serve(Creator()).handle(factories.submit(*(factories.draft(n, job_definition_id=n) for n in range(1, 21))))
    parameters = {"job_ids": list(range(1, 21)), "seconds": HOUR, "states": ["running"]}
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        query = f"EXPLAIN (ANALYZE, FORMAT JSON) {appointments._Q['goes_on']}".encode()
        (((whole,),),) = connection.execute(query, parameters).fetchall()
    loops = [node["Actual Loops"] for node in _nodes(whole["Plan"]) if "task" in node.get("Index Name", "")]
    assert max(loops) == 1


def test_the_start_of_jobs_is_noted_once_a_minute(serve: Serve, database: Database) -> None:
    serve(Creator()).handle(factories.submit(*(factories.draft(n) for n in range(1, 5))))
    put(database, range(1, 5), S.SENT)
    watcher, other = serve(Watcher(LIMITS)), serve(Watcher(LIMITS))
    watcher.handle(factories.report(1, "starting"))
    assert database.rows("SELECT site FROM queue_start") == [], "it has not begun to run"
    watcher.handle(factories.report(1, "running"), factories.report(2, "running"))
    first = database.value(STARTED, (factories.QUEUE,))
    database.execute("UPDATE queue_start SET started_at = started_at - interval '1 h'")
    watcher.handle(factories.report(3, "running"))
    assert database.value(STARTED, (factories.QUEUE,)) < first, "it is not a minute since this process did"
    other.handle(factories.report(4, "running"))
    assert database.value(STARTED, (factories.QUEUE,)) > first


def test_a_start_counts_as_noted_when_it_is_committed(serve: Serve, database: Database) -> None:
    """Else a batch that is undone would be silent when it is tried again."""
    watcher = serve(Watcher(LIMITS))

    def start(then: Callable[[], None]) -> None:
        with watcher.store.transaction() as tx:
            tx.write(Effects(started_at={"QUEUE"}))
            then()

    def undo() -> None:
        raise LookupError

    with pytest.raises(LookupError):
        start(undo)
    assert database.rows("SELECT site FROM queue_start") == []
    start(lambda: None)
    assert database.rows("SELECT site FROM queue_start") == [("QUEUE",)]


@pytest.mark.parametrize(
    ("state", "ago", "is_archived", "goes_on"),
    [
        (S.RUNNING, 2 * HOUR, False, True), (S.RUNNING, 4 * HOUR, False, False), (S.ACTIVATED, HOUR, False, True),
        (S.STARTING, 60, False, False), (S.FAILED, 60, False, False), (S.DEFINED, 60, False, False),
        (S.FINISHED, 2 * HOUR, True, True), (S.FINISHED, 4 * HOUR, True, False), (S.FAILED, 60, True, False),
    ],
)  # fmt: skip
def test_jobs_of_users_end_where_their_task_does_not_go_on(
    serve: Serve, database: Database, clock: Clock, state: State, ago: int, is_archived: bool, goes_on: bool
) -> None:
    """Job 2 is of the same task, jobDefinitionID and queue as job 1; others have one of these in common only."""
    serve(Creator()).handle(
        factories.submit(
            factories.draft(1, job_definition_id=5), factories.draft(2, job_definition_id=5),
            factories.draft(3, job_definition_id=6), factories.draft(4, job_definition_id=5, site="ELSEWHERE"),
            factories.draft(5, job_definition_id=5, task_id=8),
        )
    )  # fmt: skip
    enter(database, [3, 4, 5], S.RUNNING, 60)
    enter(database, [2], state, ago)
    if is_archived:
        database.execute("UPDATE job_deadline SET deadline_at = now() - interval '1 s' WHERE job_id = 2")
        database.execute("UPDATE job SET deadline_at = now() - interval '1 s' WHERE job_id = 2")
        clock.round("archive")
        assert database.value("SELECT count(*) FROM job WHERE job_id = 2") == 0
    database.execute("UPDATE job_deadline SET deadline_at = now() + interval '1 d' WHERE job_id > 1")
    enter(database, [1], S.ACTIVATED, 12 * HOUR, deadline_at="1 day")
    clock.round("deadlines")
    assert overdue(said(database)) == [[1], []][goes_on]
    if goes_on:
        assert appointment_s(database, 1) == pytest.approx(3 * HOUR - ago, abs=60)
