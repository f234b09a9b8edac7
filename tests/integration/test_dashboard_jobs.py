"""The list of jobs: live ones and archived ones, filtered and paged, within bounds, never by counting jobs."""

from __future__ import annotations

from typing import Any

import pytest

from lab.site import QUEUE, VO
from panda_fsm.views.job_list import CURSORS, JobsWanted
from sql.views import job_list
from tests.driver import Database
from tests.gateway_http import Caller
from tests.gateway_stores import with_store
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

LIST = "/ui/jobs.json"
ENDED, LIVE, FAILED = range(1, 6), range(11, 16), range(21, 23)
NAME = "<b>&amp;"


@pytest.fixture
def jobs(database_url: str) -> None:
    """A database with them."""
    write(database_url)


@pytest.fixture(scope="module")
def shown(shared_gateway: Processes) -> None:
    """The same at the gateway of those who only look."""
    write(shared_gateway.environment["PANDA_FSM_DATABASE_URL"])


def write(database_url: str) -> None:
    """Jobs 1..5 are archived, the first ended first; 11..15 are activated, 21 and 22 failed just now."""
    database = Database(database_url)
    add_jobs(database_url, ENDED, state="finished", user_name="Bo")
    database.execute("UPDATE job SET ended_at = now() - make_interval(days => 6 - job_id::int)")
    database.execute("INSERT INTO job_archive SELECT * FROM job")
    database.execute("DELETE FROM job")
    add_jobs(database_url, LIVE, name=NAME)
    add_jobs(database_url, FAILED, state="failed", task_id=8, site="Q2")
    database.execute(
        'UPDATE job SET errors = \'{"pilot": {"code": 1151, "diag": "no such file"}}\', ended_at = now()'
        " WHERE job_id = 21"
    )
    database.execute(
        "INSERT INTO job_count (state, site, vo, jobs) VALUES ('activated', %(q)s, %(vo)s, 7),"
        " ('activated', %(q)s, %(vo)s, -2), ('finished', %(q)s, %(vo)s, 5), ('failed', 'Q2', %(vo)s, 2)",
        {"q": QUEUE, "vo": VO},
    )
    database.close()


def found(user: Caller, query: dict[str, Any]) -> list[int]:
    """Ids of the jobs that are found, over all pages."""
    ids: list[int] = []
    after: str | None = ""
    while after is not None:
        page = user.get(LIST, **query, **({"after": after} if after else {}))
        ids += [int(row["job_id"]) for row in page["rows"]]
        after = page["next"]
    return ids


@pytest.mark.parametrize(
    ("query", "ids"),
    [
        ({}, [22, 21, 15, 14, 13, 12, 11, 5, 4, 3, 2, 1]), ({"limit": 2}, [22, 21, 15, 14, 13, 12, 11, 5, 4, 3, 2, 1]),
        ({"state": "activated", "limit": 3}, [15, 14, 13, 12, 11]),
        ({"state": "finished", "limit": 2}, [5, 4, 3, 2, 1]),
        ({"state": "running"}, []), ({"site": "Q2"}, [22, 21]), ({"vo": "nobody"}, []), ({"task": 8}, [22, 21]),
        ({"user": "Bo"}, [5, 4, 3, 2, 1]), ({"user": "Bo", "task": 8}, []), ({"code": "pilot:1151"}, [21]),
        ({"code": "1151"}, [21]), ({"code": "exe:1151"}, []), ({"code": "1150"}, []),
        ({"until": "36h"}, [4, 3, 2, 1]), ({"since": "60h", "state": "finished"}, [5, 4]),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("shown")
def test_filters_and_pages(onlooker: Caller, query: dict[str, Any], ids: list[int]) -> None:
    assert found(onlooker, query) == ids


@pytest.mark.usefixtures("shown")
def test_counts_come_from_the_rollup(onlooker: Caller) -> None:
    assert onlooker.get(LIST)["counts"] == {"activated": 5, "finished": 5, "failed": 2}
    assert onlooker.get(LIST, site="Q2", state="failed", task=7)["counts"] == {"failed": 2}


@pytest.mark.usefixtures("jobs")
def test_however_rare_the_look_is_bounded_and_goes_on(database_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job_list, "_LOOKED", 3)

    async def scene(store: Any) -> list[tuple[list[int], bool]]:
        pages: list[tuple[list[int], bool]] = []
        after = None
        while len(pages) < 20:
            page = await store.dashboard.job_list.page(JobsWanted(user="Bo", state="finished", after=after))
            pages.append(([row.job_id for row in page.rows], page.is_cut))
            if page.next is None:
                break
            after = CURSORS.key(page.next)
        return pages

    assert with_store(database_url, scene) == [([5, 4, 3], True), ([2, 1], False)]


@pytest.mark.parametrize(
    ("name", "value"),
    [("state", "flying"), ("task", "-1"), ("task", "1 OR 1"), ("code", "x:1"), ("code", "pilot:"), ("code", "²"),
     ("code", "1" * 30), ("after", "WyJqb2JzIiwxXQ"), ("after", "WyJqb2JzIiwxLCIxIl0")],
)  # fmt: skip
def test_what_is_no_filter_is_refused(onlooker: Caller, name: str, value: str) -> None:
    answer = onlooker.http.get("/ui/jobs", params={name: value})
    assert answer.status_code == 400
    assert name in answer.text


def test_a_place_beyond_all_times_is_none(user: Caller) -> None:
    cursor = CURSORS.text((2**63 - 1, 2**63 - 1))
    assert user.get(LIST, after=cursor)["rows"] == []


@pytest.mark.usefixtures("shown")
def test_the_page_shows_text_as_text_and_leads_on(onlooker: Caller) -> None:
    page = onlooker.http.get("/ui/jobs", params={"limit": 7}).text
    assert NAME not in page
    assert "pilot:1151 no such file" in page
    assert 'href="/ui/jobs/22"' in page
    assert 'href="/ui/jobs?limit=7&amp;after=' in page
