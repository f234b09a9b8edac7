"""What is stuck: the daemon's walk over all jobs, and what is looked at elsewhere; all of it bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
import pytest

from lab.site import QUEUE
from panda_fsm.jobs.states import State
from panda_fsm.views.stuck import AT_MOST, BY_NAME, NEXT, StuckNow, Thresholds
from sql import stuck_walk
from sql.pool import Pool
from sql.views import stuck as reads
from sql.views.stuck import StuckViews
from tests import factories
from tests.clockwork import Clock, enter
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator

Answer = TypeVar("Answer")
HOUR = 3600


def with_views(database_url: str, scene: Callable[[StuckViews], Awaitable[Answer]]) -> Answer:
    """Play a scene with the reads of operators."""

    async def play() -> Answer:
        pool = Pool(database_url, "test.operators", 2, 2.0, by_index=False)
        await pool.open()
        try:
            return await scene(StuckViews(pool, Thresholds({})))
        finally:
            await pool.close()

    return asyncio.run(play())


def found(database_url: str) -> dict[str, StuckNow]:
    """What is stuck now, by rule."""

    async def scene(views: StuckViews) -> dict[str, StuckNow]:
        return {one.rule.name: one for one in await views.summary()}

    return with_views(database_url, scene)


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..9, and every service alive."""
    serve(Creator()).handle(factories.submit(*(factories.draft(n) for n in range(1, 10))))
    database.execute("DELETE FROM outbox")
    for service in sorted({one for services in NEXT.values() for one in services} | {"relay", "daemon"}):
        database.execute(
            "INSERT INTO process (service, host, pid, started_at, seen_at) VALUES (%s, 'h', 1, now(), now())",
            (service,),
        )
    database.execute("UPDATE job_deadline SET deadline_at = now() + interval '1 h'")
    return database


def enter_quietly(database: Database, job_ids: list[int], state: State, ago_s: float) -> None:
    """Into a state, with an appointment to come."""
    enter(database, job_ids, state, ago_s, has_report=True)
    database.execute("UPDATE job_deadline SET deadline_at = now() + interval '1 h'")


def test_the_walk_finds_jobs_by_state_and_time_and_forgets_those_that_went_on(
    jobs: Database, database_url: str, clock: Clock
) -> None:
    enter_quietly(jobs, [1, 2], State.SENT, 20 * 60)
    enter_quietly(jobs, [3], State.SENT, 60)
    enter_quietly(jobs, [4, 5], State.RUNNING, 3 * HOUR)
    jobs.execute("INSERT INTO job_heard (job_id, heard_at) VALUES (4, now() - interval '2 h'), (5, now())")
    enter_quietly(jobs, [6], State.TRANSFERRING, 5 * HOUR)
    assert found(database_url) == {}, "nothing was looked at yet"
    clock.slice("stuck")
    stuck = found(database_url)
    counts = {name: [(place.name, place.count) for place in one.places] for name, one in stuck.items()}
    assert counts == {
        "sent_no_pilot": [(QUEUE, 2)], "heartbeat_lost": [(QUEUE, 1)], "transferring_slow": [(QUEUE, 1)]
    }  # fmt: skip
    enter_quietly(jobs, [1], State.STARTING, 60)
    rule = BY_NAME["sent_no_pilot"]
    shown = with_views(database_url, lambda views: views.jobs(rule))
    assert [(one.job_id, one.has_moved) for one in shown] == [(1, True), (2, False)], "as they are now"
    jobs.execute("UPDATE stuck_walk SET ended_at = ended_at - interval '1 min'")
    clock.slice("stuck")
    assert found(database_url)["sent_no_pilot"].counted == "1 job"
    assert [one.job_id for one in with_views(database_url, lambda views: views.jobs(rule, QUEUE))] == [2]
    assert with_views(database_url, lambda views: views.jobs(rule, "OTHER")) == []
    assert jobs.value("SELECT count(DISTINCT walk) FROM stuck_site") == 1, "walks before are forgotten"


def test_the_walk_goes_on_where_another_clock_stopped(
    jobs: Database, database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    enter_quietly(jobs, list(range(1, 10)), State.SENT, HOUR)
    monkeypatch.setattr("periodic.stuck._SLICE", 4)
    other = Clock(database_url)
    for one in (clock, other):
        one.slice("stuck")
        assert found(database_url) == {}, "only a whole walk is shown"
    other.close()
    clock.slice("stuck")
    assert found(database_url)["sent_no_pilot"].count == 9
    clock.slice("stuck")
    assert jobs.value("SELECT after_id FROM stuck_walk") == 0, "there is a pause between two"


def test_so_many_jobs_of_a_rule_are_kept_by_name(
    jobs: Database, database_url: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stuck_walk, "_KEPT", 3)
    enter_quietly(jobs, list(range(1, 10)), State.SENT, HOUR)
    monkeypatch.setattr("periodic.stuck._SLICE", 4)
    for _ in range(3):
        clock.slice("stuck")
    assert found(database_url)["sent_no_pilot"].count == 9
    assert jobs.value("SELECT count(*) FROM stuck_job") < 9


def test_what_waits_elsewhere_is_found_where_it_waits(jobs: Database, database_url: str) -> None:
    jobs.execute(
        "INSERT INTO outbox (message_id, exchange, routing_key, body, created_at)"
        " VALUES (gen_random_uuid(), 'panda.events', 'job.sent', '{}', now() - interval '5 min')"
    )
    jobs.execute(
        "INSERT INTO request (message_id, routing_key, body, accepted_at, sent_at)"
        " VALUES (gen_random_uuid(), 'kill', '{}', now() - interval '5 min', now() - interval '4 min'),"
        " (gen_random_uuid(), 'submit', '{}', now() - interval '5 min', now() + interval '1 min')"
    )
    jobs.execute("DELETE FROM process WHERE service = 'adder'")
    jobs.execute("INSERT INTO job_count (state, site, vo, jobs) VALUES ('holding', %s, 'lab', 7)", (QUEUE,))
    jobs.execute("INSERT INTO jedi_message (vo, task_id, service, at) VALUES ('lab', 7, 's', now() - interval '1 h')")
    jobs.execute("UPDATE job_deadline SET deadline_at = now() - interval '5 min' WHERE job_id = 1")
    jobs.execute("UPDATE job_deadline SET trouble = 'KeyError' WHERE job_id = 2")
    stuck = found(database_url)
    assert {name: [(place.name, place.count) for place in one.places] for name, one in stuck.items()} == {
        "outbox_old": [("panda.events/job.sent", 1)],
        "no_consumer": [("adder", 7)],
        "unacked_old": [("kill", 1)],
        "upstream_silent": [("JEDI of lab", 1)],
        "state_disagrees": [(QUEUE, 2)],
    }
    assert (stuck["no_consumer"].counted, stuck["upstream_silent"].counted) == ("1 service", "1 message")
    shown = with_views(database_url, lambda views: views.jobs(BY_NAME["state_disagrees"]))
    assert [(one.job_id, one.waits_for) for one in shown] == [(1, None), (2, "KeyError")]


def test_a_queue_is_named_where_jobs_wait_and_nobody_asks(jobs: Database, database_url: str) -> None:
    enter_quietly(jobs, [1, 2, 3], State.ACTIVATED, HOUR)
    jobs.execute("UPDATE job SET site = 'LONELY' WHERE job_id IN (2, 3)")
    jobs.execute(
        "INSERT INTO job_waiting (job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime,"
        " core_count, task_id, user_name) SELECT job_id, site, 0, '', '', 0, 0, 0, 0, 0, '' FROM job WHERE job_id < 4"
    )
    jobs.execute("INSERT INTO job_count (state, site, vo, jobs) VALUES ('activated', 'LONELY', 'lab', 2)")
    jobs.execute(
        "INSERT INTO pilot_ask (site, fingerprint, filters, last_at, asks, jobs) VALUES"
        " (%s, gen_random_uuid(), '{}', now(), 1, 0),"
        " ('LONELY', gen_random_uuid(), '{}', now() - interval '2 h', 1, 0)",
        (QUEUE,),
    )
    (place,) = found(database_url)["activated_no_asks"].places
    assert (place.name, place.count) == ("LONELY", 2)
    rule = BY_NAME["activated_no_asks"]
    assert [one.job_id for one in with_views(database_url, lambda views: views.jobs(rule, "LONELY"))] == [2, 3]


def test_many_are_at_least_so_many(jobs: Database, database_url: str) -> None:
    jobs.execute(
        "INSERT INTO request (message_id, routing_key, body, accepted_at, sent_at) SELECT gen_random_uuid(), 'kill',"
        " '{}', now() - interval '5 min', now() - interval '4 min' FROM generate_series(1, %s)",
        (AT_MOST + 5,),
    )
    assert found(database_url)["unacked_old"].counted == "at least 1,000 messages"


PARAMETERS = {
    "most": 10, "queues": 10, "services": '{"adder": ["holding"]}', "rule": "sent_no_pilot",
    "site": QUEUE, "limit": 10, "after_id": 0, "least": "{}", "pause_s": 15.0, "walk": 1, "rows": "[]",
}  # fmt: skip
SMALL = ("process", "job_count", "stuck_walk", "stuck_site", "pilot_ask", "transition_count")


def test_no_look_reads_a_large_table_through(jobs: Database, database_url: str) -> None:
    """With a million jobs too; what has few rows may be."""
    queries = reads._Q | {name: stuck_walk._Q[name] for name in ("where", "step")}
    seconds: Any = {"summary": '{"state_disagrees": 60}'}
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for name, query in queries.items():
            known = PARAMETERS | {"after_s": seconds.get(name, 60.0)}
            plan = connection.execute(f"EXPLAIN {query}".encode(), known).fetchall()
            read = [line for (line,) in plan if "Seq Scan on" in line and not any(f" {t} " in line for t in SMALL)]
            assert read == [], name
