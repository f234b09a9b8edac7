"""Everything of one job: its life with causes, what was ignored, what was done to it, whom it belongs to; bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.types.json import Jsonb

from consumers.watcher import Watcher
from lab.site import QUEUE
from panda_fsm.jobs.states import State
from panda_fsm.messages import KillJob, ThrottleJobs
from panda_fsm.sites import Sites
from panda_fsm.views.jobs import JobLife
from sql.pool import Pool
from sql.views import jobs as reads
from sql.views.jobs import JobViews
from tests import factories
from tests.clockwork import Clock, enter, in_block
from tests.driver import Database
from tests.inprocess import LIMITS, Serve, put
from tests.integration.test_process import Creator

Answer = TypeVar("Answer")
MOST_STATEMENTS = 12
"""Of a job that is live, in any state: each is by an index and takes about a millisecond."""


class Counting(Pool):
    """A pool that counts what goes through it."""

    asked = 0

    def connection(self) -> Any:
        self.asked += 1
        return super().connection()


def with_views(database_url: str, scene: Callable[[JobViews], Awaitable[Answer]]) -> tuple[Answer, int]:
    """Play a scene with the reads of operators; and how many statements that took."""

    async def play() -> tuple[Answer, int]:
        pool = Counting(database_url, "test.operators", 2, 2.0, by_index=False)
        await pool.open()
        try:
            return await scene(JobViews(pool, LIMITS)), pool.asked
        finally:
            await pool.close()

    return asyncio.run(play())


def life(database_url: str, job_id: int) -> JobLife:
    """Of a job that there is."""
    found, statements = with_views(database_url, lambda views: views.life(job_id, Sites()))
    assert found is not None
    assert statements <= MOST_STATEMENTS
    return found


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..9 of one task."""
    serve(Creator()).handle(factories.submit(*(factories.draft(n) for n in range(1, 10))))
    return database


def test_a_life_has_each_step_with_its_cause_and_how_long_it_took(
    jobs: Database, serve: Serve, database_url: str
) -> None:
    put(jobs, [1], State.SENT)
    jobs.execute("""UPDATE job SET holder = 'iss|p', pilot = '{"worker_id": "77"}' WHERE job_id = 1""")
    watcher = serve(Watcher(LIMITS))
    watcher.handle(factories.report(1, "running"))
    watcher.handle(KillJob(job_id=1, code=9, actor="ana", reason="wrong input", forced=True))
    shown = life(database_url, 1)
    assert [(step.source, step.state, step.service) for step in shown.steps] == [
        (None, "defined", "setupper"), ("sent", "running", "watcher"), ("running", "cancelled", "watcher")
    ]  # fmt: skip
    assert [step.took_s is None for step in shown.steps] == [True, False, False]
    assert shown.steps[0].cause == "submitted"
    assert "ana" in shown.steps[2].cause
    assert shown.steps[2].message_id is not None
    assert [(one.component, one.code) for one in shown.errors] == [("server", 100)]
    assert shown.why is None, "it has ended"


def test_what_came_again_is_counted_once_a_message_and_a_quiet_batch_writes_nothing(
    jobs: Database, serve: Serve, database_url: str
) -> None:
    put(jobs, [1, 2], State.RUNNING)
    watcher = serve(Watcher(LIMITS))
    watcher.handle(factories.report(1, "finished"), factories.report(2, "running"))
    assert jobs.rows("SELECT * FROM job_ignored") == []
    for _ in range(2):
        watcher.handle(factories.report(1, "finished"), factories.report(1, "finished"), factories.report(2, "running"))
    (one,) = life(database_url, 1).repeated
    assert (one.what, one.times) == ("report.finished", 4)
    assert one.words == "the final report came again: 4 times, and changed nothing"
    assert life(database_url, 2).repeated == (), "a heartbeat is no repeat"


def test_files_say_where_they_are_going(jobs: Database, database_url: str) -> None:
    in_block(jobs, [1], "sub", "transferring", "a_sub1")
    enter(jobs, [1], State.TRANSFERRING, 600, has_report=True)
    shown = life(database_url, 1)
    assert {(f.type, f.status, f.block, f.source, f.target) for f in shown.files} == {
        ("input", "unknown", None, None, None), ("output", "transferring", "a_sub1", "FROM", "TO"),
        ("log", "transferring", "a_sub1", "FROM", "TO"),
    }  # fmt: skip
    assert shown.files_in_all == 3
    assert shown.why is not None
    assert shown.why.sentence == "Its 2 outputs are on the way from FROM to TO, asked for 10 min ago."
    assert "ddm does not work" in str(shown.why)


def test_deeds_are_those_that_name_the_job_or_a_range_with_it(jobs: Database, database_url: str) -> None:
    rows: list[tuple[str, dict[str, Any]]] = [
        ("job 5", {"jobs": 1, "job_ids": "5", "name": "ana"}),
        ("jobs 1-9", {"jobs": 4, "job_ids": "1-3,9"}),
        ("jobs 1-9", {"jobs": 5, "job_ids": "1,4-6,9", "reason": "wrong"}),
        ("jobs 1-9", {"jobs": 9, "job_ids": "1", "more_ranges": 3}),
        ("task 5", {}),
        ("jobs 9-1", {}),
        ("jobs of a kind", {}),
        ("job 55555555555555555555", {}),
    ]
    for what, detail in rows:
        jobs.execute(
            "INSERT INTO audit (actor, action, object, detail) VALUES ('a', 'kill', %s, %s)", (what, Jsonb(detail))
        )
    deeds = life(database_url, 5).deeds
    assert [(one.object, one.name, one.reason) for one in deeds] == [
        ("jobs 1-9", "", ""), ("jobs 1-9", "", "wrong"), ("job 5", "ana", "")
    ]  # fmt: skip


def test_others_that_belong_to_it_are_named_with_how_they_do(jobs: Database, database_url: str, clock: Clock) -> None:
    jobs.execute("INSERT INTO job_retry VALUES (1, 5, 1, 'retry'), (5, 6, 1, 'retry')")
    jobs.execute(
        "INSERT INTO job_upstream (job_id, upstream_id, merges) VALUES (5, 7, true), (5, 2, false), (8, 5, true)"
    )
    jobs.execute("UPDATE job SET jobset_id = 3 WHERE job_id IN (5, 9)")
    jobs.execute("""UPDATE job SET errors = '{"pilot": {"code": 1151, "diag": "wrong checksum"}}' WHERE job_id = 1""")
    enter(jobs, [1], State.FAILED, 3600, deadline_at="-1 s")
    clock.round("archive")
    related = {one.job_id: one for one in life(database_url, 5).related}
    assert {job_id: (one.how, one.state) for job_id, one in related.items()} == {
        1: ("attempt before", "failed"), 6: ("attempt after", "defined"), 7: ("merges its outputs", "defined"),
        2: ("makes what it reads", "defined"), 8: ("it merges its outputs", "defined"),
        9: ("of the same jobset", "defined"),
    }  # fmt: skip
    assert related[1].why == "pilot 1151: wrong checksum"
    archived = life(database_url, 1)
    assert (archived.now.is_archived, archived.files_in_all, archived.errors[0].text) == (True, 3, "wrong checksum")


def test_a_job_that_waits_for_a_pilot_says_who_goes_before_it_and_who_asked(jobs: Database, database_url: str) -> None:
    enter(jobs, [1, 2, 3], State.ACTIVATED, 600)
    jobs.execute(
        "INSERT INTO job_waiting (job_id, site, priority, label, resource_type, min_ram, max_disk, max_walltime,"
        " core_count, task_id, user_name) SELECT job_id, site, priority, '', '', 0, 0, 0, 0, 7, '' FROM job"
        " WHERE state = 'activated'"
    )
    jobs.execute("UPDATE job_waiting SET priority = 5000 WHERE job_id = 3")
    ask = "INSERT INTO pilot_ask VALUES (%s, gen_random_uuid(), %s, now() - interval '1 min', 14, 0)"
    jobs.execute(ask, (QUEUE, Jsonb({"labels": ["managed"], "memory": None})))
    why, _ = with_views(database_url, lambda views: views.why(2, Sites()))
    assert why is not None
    assert "asked for managed jobs, its label is user" in why.sentence
    jobs.execute("UPDATE pilot_ask SET filters = '{}'")
    why, _ = with_views(database_url, lambda views: views.why(2, Sites()))
    assert why is not None
    assert why.sentence.startswith(f"2 jobs of {QUEUE} go before it")
    jobs.execute(
        "INSERT INTO pause (kind, name, is_paused, actor, reason, message_id)"
        " VALUES ('site', %s, true, 'ana', 'fire', gen_random_uuid())",
        (QUEUE,),
    )
    why, _ = with_views(database_url, lambda views: views.why(2, Sites()))
    assert why is not None
    assert why.sentence == f"{QUEUE} is paused by ana: fire."


def test_a_job_of_a_held_task_says_by_whom(jobs: Database, serve: Serve, database_url: str) -> None:
    enter(jobs, [1], State.ACTIVATED, 600)
    jobs.execute("INSERT INTO held_task (task_id, actor) VALUES (7, 'jedi-lab')")
    serve(Watcher(LIMITS)).handle(ThrottleJobs(jobs=[1], throttle=True, actor="jedi-lab"))
    shown = life(database_url, 1)
    assert shown.why is not None
    assert "Task 7 is held by jedi-lab" in shown.why.sentence


def test_each_state_is_told_within_the_budget_and_nobody_is_told_of(jobs: Database, database_url: str) -> None:
    for state in State:
        enter(jobs, [1], state, 600, has_report=True)
        shown = life(database_url, 1)
        assert (shown.why is None) is shown.now.is_final
    assert with_views(database_url, lambda views: views.life(999, Sites()))[0] is None
    assert with_views(database_url, lambda views: views.why(999, Sites()))[0] is None


PARAMETERS: dict[str, Any] = {
    "job_id": 1, "task_id": 7, "jobset_id": 1, "most": 10, "harvester_id": "h", "worker_id": "w", "site": QUEUE,
    "priority": 1, "state": "activated", "services": ["adder"],
}  # fmt: skip
SMALL = ("process", "job_count", "job_transition", "pause", "one")


def test_no_question_reads_a_large_table_through(jobs: Database, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for name, query in reads._Q.items():
            plan = connection.execute(f"EXPLAIN {query}".encode(), PARAMETERS).fetchall()
            read = [line for (line,) in plan if "Seq Scan on" in line and not any(f" {t} " in line for t in SMALL)]
            assert read == [], name
