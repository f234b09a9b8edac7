"""Tasks: those with live jobs by index, one with states, jobs, files, and what JEDI asked and was told; bounded."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import psycopg
import pytest
from psycopg.types.json import Jsonb

from panda_fsm.jobs.states import State
from panda_fsm.views.tasks import CURSORS, TaskLife, TaskRow, TasksWanted
from sql.pool import Pool
from sql.views import tasks as reads
from sql.views.tasks import TaskViews
from tests import factories
from tests.clockwork import Clock, enter
from tests.driver import Database
from tests.inprocess import Serve
from tests.integration.test_process import Creator

Answer = TypeVar("Answer")


def with_views(database_url: str, scene: Callable[[TaskViews], Awaitable[Answer]]) -> Answer:
    """Play a scene with the reads of operators."""

    async def play() -> Answer:
        pool = Pool(database_url, "test.operators", 2, 2.0, by_index=False)
        await pool.open()
        try:
            return await scene(TaskViews(pool))
        finally:
            await pool.close()

    return asyncio.run(play())


@pytest.fixture
def jobs(serve: Serve, database: Database, clock: Clock) -> Database:
    """Task 7 with jobs 1..6, of which 1 and 2 are archived; task 8 with job 7; task 0 with job 8."""
    drafts = [factories.draft(n, task_id={7: 8, 8: 0}.get(n, 7)) for n in range(1, 9)]
    serve(Creator()).handle(factories.submit(*drafts))
    enter(database, [1], State.FAILED, 3600, deadline_at="-1 s")
    enter(database, [2], State.FINISHED, 7200, deadline_at="-1 s")
    clock.round("archive")
    enter(database, [3], State.FAILED, 60)
    enter(database, [4], State.RUNNING, 60)
    database.execute("""UPDATE job SET errors = '{"exe": {"code": 7, "diag": "no memory"}}' WHERE job_id = 3""")
    return database


def listed(database_url: str, wanted: TasksWanted) -> list[TaskRow]:
    """One page."""

    async def scene(views: TaskViews) -> list[TaskRow]:
        return list((await views.listed(wanted)).rows)

    return with_views(database_url, scene)


def one(database_url: str, task_id: int) -> TaskLife:
    """A task that there is."""
    found = with_views(database_url, lambda views: views.one(task_id))
    assert found is not None
    return found


def test_tasks_with_live_jobs_are_listed_the_newest_first(jobs: Database, database_url: str) -> None:
    jobs.execute("INSERT INTO held_task (task_id, actor) VALUES (7, 'jedi-lab'), (99, 'ana')")
    assert [(t.task_id, t.jobs, dict(t.states), t.held_by) for t in listed(database_url, TasksWanted())] == [
        (8, 1, {"defined": 1}, None), (7, 4, {"failed": 1, "running": 1, "defined": 2}, "jedi-lab")
    ]  # fmt: skip
    held = listed(database_url, TasksWanted(is_held=True))
    assert [(t.task_id, t.jobs, t.held_by) for t in held] == [(99, 0, "ana"), (7, 4, "jedi-lab")]
    assert [t.task_id for t in listed(database_url, TasksWanted(task_id=8))] == [8]
    assert listed(database_url, TasksWanted(task_id=9)) == []


def test_pages_of_tasks_hold_each_once(jobs: Database, database_url: str) -> None:
    async def scene(views: TaskViews) -> tuple[list[int], list[int]]:
        first = await views.listed(TasksWanted(limit=1))
        assert first.next is not None
        last = await views.listed(TasksWanted(limit=1, after=CURSORS.key(first.next)))
        assert last.next is None
        return [t.task_id for t in first.rows], [t.task_id for t in last.rows]

    assert with_views(database_url, scene) == ([8], [7])


def test_a_large_task_is_not_counted_through(
    jobs: Database, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reads, "LISTED", 2)
    monkeypatch.setattr(reads, "COUNTED", 2)
    task = next(t for t in listed(database_url, TasksWanted()) if t.task_id == 7)
    assert (task.is_least, task.jobs) == (True, 3)
    assert (one(database_url, 7).is_least, one(database_url, 8).is_least) == (True, False)


def test_one_task_has_its_jobs_live_and_archived(jobs: Database, database_url: str) -> None:
    task = one(database_url, 7)
    assert (task.vo, task.label, task.held_by, task.is_least) == (factories.VO, "user", None, False)
    assert task.states == {"failed": 2, "finished": 1, "running": 1, "defined": 2}
    assert [job.job_id for job in task.newest] == [6, 5, 4, 3, 2, 1]
    assert [(job.job_id, [error.text for error in job.all_errors]) for job in task.failing] == [
        (3, ["no memory"]), (1, [])
    ]  # fmt: skip
    assert (task.files["input"], task.files_of) == ({"unknown": 4}, 4)


def test_what_jedi_asked_and_was_told_is_there(jobs: Database, database_url: str) -> None:
    for what in ("task 7", "task 70"):
        jobs.execute(
            "INSERT INTO audit (actor, action, object, detail) VALUES ('jedi', 'task_held', %s, %s)",
            (what, Jsonb({"msg_id": "m", "jobs": 4})),
        )
    jobs.execute("INSERT INTO jedi_job VALUES (4, 77, 'lab', 7, now())")
    jobs.execute("INSERT INTO jedi_message (vo, task_id, service) VALUES ('lab', 7, 's'), ('lab', 8, 's')")
    task = one(database_url, 7)
    assert [deed.action for deed in task.deeds] == ["task_held"]
    assert task.to_tell == 1
    assert {job.job_id: job.told_seq for job in task.newest if job.told_seq} == {4: 77}


def test_a_task_that_is_held_before_its_jobs_come_is_known(jobs: Database, database_url: str) -> None:
    jobs.execute("INSERT INTO held_task (task_id, actor) VALUES (99, 'ana')")
    assert one(database_url, 99).held_by == "ana"
    assert with_views(database_url, lambda views: views.one(98)) is None


PARAMETERS: dict[str, Any] = {
    "task_id": 7, "counted": 10, "archived": 10, "limit": 10, "after": 2**63 - 1, "object": "task 7"
}  # fmt: skip


def test_no_question_reads_a_large_table_through(jobs: Database, database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        connection.execute("SET enable_seqscan = off")
        for name, query in reads._Q.items():
            if name == "jobs":
                continue
            whole = query.replace(reads._PART, reads._Q["jobs"])
            plan = connection.execute(f"EXPLAIN {whole}".encode(), PARAMETERS).fetchall()
            assert [line for (line,) in plan if "Seq Scan on" in line] == [], name
