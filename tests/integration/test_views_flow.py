"""The flow as people read it: hops now and a week ago, of all queues and of one; what ended minute by minute."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import pytest

from sql.pool import Pool
from sql.views.flow import FlowViews
from tests import factories
from tests.clockwork import Clock
from tests.driver import Database
from tests.history import LIFE, count_from, walk
from tests.inprocess import Serve
from tests.integration.test_process import Creator

Found = TypeVar("Found")


def ask(url: str, look: Callable[[FlowViews], Awaitable[Found]]) -> Found:
    """One question."""

    async def scene() -> Found:
        pool = Pool(url, "test", 1, 5, by_index=False)
        await pool.open()
        try:
            return await look(FlowViews(pool))
        finally:
            await pool.close()

    return asyncio.run(scene())


@pytest.fixture
def moved(serve: Serve, database: Database, clock: Clock) -> Database:
    """Jobs 1 and 2 of a queue and job 9 of which nobody knows any more made steps, counted; so they did a week ago."""
    serve(Creator()).handle(factories.submit(factories.draft(1), factories.draft(2)))
    database.execute("DELETE FROM job_history")
    for job_id in (1, 2, 9):
        walk(database, job_id, (150, 140, 130, 120, 110, 100))
    walk(database, 10, (2000, 1990, 1980, 1970, 1960), (*LIFE[:4], ("lost", "running")))
    count_from(database, clock)
    database.execute(
        "INSERT INTO transition_count SELECT c.site, 3600, date_trunc('hour', h.until - interval '7 days'),"
        " transition_id, 10, 25, 1 FROM transition_count c, history_counted h WHERE span = 3600 AND site <> '?'"
        " AND slot > now() - interval '7 days' ON CONFLICT DO NOTHING"
    )
    return database


def test_hops_of_the_last_minutes_stand_beside_those_of_a_week_ago(moved: Database, database_url: str) -> None:
    flow = ask(database_url, lambda views: views.flow())
    assert [(hop.source, hop.destination) for hop in flow.hops if hop.jobs] == [
        (None, "defined"), ("defined", "activated"), ("activated", "sent"), ("sent", "running"), ("running", "holding"),
        ("holding", "finished"),
    ]  # fmt: skip
    hop = next(hop for hop in flow.hops if hop.destination == "sent")
    assert (hop.jobs, round(hop.per_s * flow.seconds)) == (3, 3)
    assert hop.p50 == pytest.approx(10, rel=0.5)
    assert hop.before_jobs == 25
    assert hop.before_p99 == pytest.approx(0.032, rel=0.3)
    assert 300 <= flow.seconds < 372


@pytest.mark.parametrize(
    ("site", "minutes", "jobs"), [(None, 5, 3), (factories.QUEUE, 5, 2), (None, 60, 4), ("nowhere", 60, 0)]
)
def test_hops_of_one_queue_and_of_an_hour(
    moved: Database, database_url: str, site: str | None, minutes: int, jobs: int
) -> None:
    hops = ask(database_url, lambda views: views.hops(site, minutes))
    assert sum(hop.jobs for hop in hops if hop.destination == "sent") == jobs


def test_what_ended_minute_by_minute(moved: Database, database_url: str) -> None:
    series = ask(database_url, lambda views: views.series())
    assert len(series.finished) == len(series.failed) == 60
    assert (round(sum(series.finished) * 60), round(sum(series.failed) * 60)) == (3, 1)
    lost = "SELECT (extract(epoch FROM at - %s) / 60)::float8 FROM job_history WHERE job_id = 10 AND version = 5"
    assert max(range(60), key=series.failed.__getitem__) == int(moved.value(lost, (series.since,)))
    here = ask(database_url, lambda views: views.series(factories.QUEUE, 10))
    assert (len(here.finished), round(sum(here.finished) * 60), sum(here.failed)) == (10, 2, 0)


def test_how_many_jobs_are_in_each_state(moved: Database, database_url: str) -> None:
    assert ask(database_url, lambda views: views.states()) == {"defined": 2}
    assert ask(database_url, lambda views: views.states("nowhere")) == {}
