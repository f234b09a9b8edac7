"""Errors of hours and days that are over are read from their sums: the same is said as without, by fewer rows."""

from __future__ import annotations

import asyncio
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from panda_fsm.views.errors import ErrorsView, ErrorsWanted
from sql.dashboard_store import DashboardStore
from tests.clockwork import Clock
from tests.driver import Database

BEGAN = datetime.now(UTC)
SITES, VOS = ("S1", "S2"), ("a", "b")
COUNTS = """
INSERT INTO error_count
SELECT hour, vo, site, 'pilot', code, 1 + (h + code) %% 3, hour + interval '1 min', hour + interval '9 min', 'said', 7
FROM generate_series(0, 16 * 24 - 1) h, unnest(%s::text[]) vo, unnest(%s::text[]) site, generate_series(1, 3) code,
    LATERAL (SELECT date_bin('1 hour', now(), 'epoch') - h * interval '1 hour' AS hour) AS at WHERE (h + code) %% 2 = 0
"""
ENDED = """
INSERT INTO site_ended SELECT site, 3600, date_bin('1 hour', now(), 'epoch') - h * interval '1 hour', 5, 4, 1, 0, 0
FROM generate_series(0, 16 * 24 - 1) h, unnest(%s::text[]) site
"""
ASKED = [
    (hours, by, site, vo)
    for hours in (1, 7, 24, 26, 15 * 24)
    for by in ("code", "site")
    for site, vo in ((None, None), ("S2", None), (None, "b"), ("S1", "a"))
]


@pytest.fixture
def counted(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """Sixteen days of errors at two queues of two VOs, and of jobs that ended; who asks does so in one hour."""

    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> Any:
            return BEGAN

    monkeypatch.setattr("sql.views.errors.datetime", Now)
    database.execute(COUNTS, (list(VOS), list(SITES)))
    database.execute(ENDED, (list(SITES),))
    return database


def said(database_url: str) -> list[ErrorsView]:
    """What is said to all who ask."""

    async def scene() -> list[ErrorsView]:
        store = DashboardStore(database_url)
        await store.open()
        try:
            return [
                await store.errors.errors(ErrorsWanted(BEGAN - timedelta(hours=hours), by, site, vo))
                for hours, by, site, vo in ASKED
            ]
        finally:
            await store.close()

    return asyncio.run(scene())


def roll_up(database: Database, clock: Clock) -> None:
    """The daemon counts on, beyond the end of an hour."""
    database.execute("UPDATE history_counted SET until = date_bin('1 hour', now(), 'epoch') - interval '1 second'")
    clock.round("flow")


def test_sums_say_what_hours_say(counted: Database, database_url: str, clock: Clock) -> None:
    raw = counted.rows("SELECT hour, vo, site, code::int, jobs FROM error_count")
    before = said(database_url)
    for (_, by, site, vo), view in zip(ASKED, before, strict=True):
        expected: Counter[tuple[Any, ...]] = Counter()
        for hour, its_vo, its_site, code, jobs in raw:
            if hour >= view.since and site in (None, its_site) and vo in (None, its_vo):
                expected[code, its_site if by == "site" else None] += jobs
        assert {(row.code, row.site): row.jobs for row in view.rows} == expected
    roll_up(counted, clock)
    spans = "SELECT DISTINCT span, site = '' FROM error_rollup ORDER BY 1, 2"
    assert counted.rows(spans) == [(3600, True), (21600, False), (86400, False), (86400, True)]
    assert said(database_url) == before
    roll_up(counted, clock)
    assert said(database_url) == before, "what is added up is not added up again"
    counted.execute("UPDATE error_count SET jobs = jobs + 1 WHERE hour = date_bin('1 hour', now(), 'epoch')")
    assert said(database_url) != before, "the hour that is not over is read as it is"


def test_who_looks_back_for_days_reads_no_hours_of_them(counted: Database, database_url: str, clock: Clock) -> None:
    long_ago = ASKED.index((15 * 24, "site", None, None))
    before = said(database_url)[long_ago]
    roll_up(counted, clock)
    counted.execute("DELETE FROM error_count WHERE hour < now() - interval '3 days'")
    counted.execute("DELETE FROM site_ended WHERE slot < now() - interval '3 days'")
    assert said(database_url)[long_ago] == before
