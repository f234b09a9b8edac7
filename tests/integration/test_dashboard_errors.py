"""The page Errors: what fails, how often and since when, by code and by queue; what pilots wrote is text."""

from __future__ import annotations

from typing import Any

import pytest

from tests.driver import Database
from tests.gateway_http import Caller
from tests.processes import Processes

PAGE = "/ui/errors"
HOSTILE = "<script>alert(1)</script>"


@pytest.fixture(scope="module")
def failed(shared_gateway: Processes) -> None:
    """Three errors at two queues of two VOs, and a hundred jobs that ended; one error is older than a day."""
    database = Database(shared_gateway.environment["PANDA_FSM_DATABASE_URL"])
    database.execute(
        """INSERT INTO error_count
           SELECT date_trunc('hour', now()) - ago, vo, site, component, code, jobs, now() - ago, now() - ago, sample,
               job
           FROM (VALUES (interval '0', 'a', 'S1', 'pilot', 1305, 6, 'old text', 1),
                        (interval '5 h', 'a', 'S1', 'pilot', 1305, 2, 'text', 2),
                        (interval '5 h', 'b', 'S2', 'pilot', 1305, 4, %s, 3),
                        (interval '5 h', 'b', 'S2', 'task_buffer', 100, 1, '', 4),
                        (interval '3 d', 'b', 'S2', 'ddm', 200, 9, 'lost', 5))
               AS e(ago, vo, site, component, code, jobs, sample, job)""",
        (HOSTILE,),
    )
    database.execute(
        "INSERT INTO site_ended SELECT s, 3600, date_trunc('hour', now()) - interval '5 h', 30, 20, 0, 0, 0"
        " FROM unnest('{S1,S2}'::text[]) s"
    )
    database.close()


def rows(user: Caller, **query: str) -> list[tuple[Any, ...]]:
    names = ("component", "code", "site", "jobs", "lately", "share", "whose")
    return [tuple(row[name] for name in names) for row in user.get(f"{PAGE}.json", **query)["rows"]]


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({}, [("pilot", 1305, None, 12, 6, 0.12, "pilot"), ("task_buffer", 100, None, 1, 0, 0.01, "who ended it")]),
        ({"by": "site"}, [("pilot", 1305, "S1", 8, 6, 0.16, "pilot"), ("pilot", 1305, "S2", 4, 0, 0.08, "pilot"),
                          ("task_buffer", 100, "S2", 1, 0, 0.02, "who ended it")]),
        ({"site": "S1"}, [("pilot", 1305, None, 8, 6, 0.16, "pilot")]),
        ({"vo": "a"}, [("pilot", 1305, None, 8, 6, None, "pilot")]),
        ({"since": "7d", "site": "S2"}, [
            ("ddm", 200, None, 9, 0, 0.18, "DDM"), ("pilot", 1305, None, 4, 0, 0.08, "pilot"),
            ("task_buffer", 100, None, 1, 0, 0.02, "who ended it"),
        ]),
        ({"site": "S3"}, []),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("failed")
def test_errors_by_code_and_by_queue(onlooker: Caller, query: dict[str, str], found: list[tuple[Any, ...]]) -> None:
    assert rows(onlooker, **query) == found


@pytest.mark.usefixtures("failed")
def test_the_page_leads_to_the_jobs_and_shows_text(onlooker: Caller) -> None:
    found = onlooker.get(f"{PAGE}.json")["rows"][0]
    assert (found["sites"], found["sample"], found["sample_job_id"]) == (["S1", "S2"], "old text", "1")
    page = onlooker.http.get(PAGE, params={"by": "site"}).text
    assert 'href="/ui/jobs?code=pilot%3A1305&amp;site=S1"' in page
    assert 'href="/ui/sites/S2"' in page
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page


@pytest.mark.parametrize(
    ("query", "status", "shown"),
    [
        ({}, 200, "No job ended badly"), ({"site": "x"}, 200, "Nothing failed that way"),
        ({"by": "user"}, 400, "must be one of code, site"), ({"since": "9000-13-01"}, 400, "must be a time"),
    ],
)  # fmt: skip
def test_nothing_and_what_is_asked_oddly(user: Caller, query: dict[str, str], status: int, shown: str) -> None:
    answer = user.http.get(PAGE, params=query)
    assert (answer.status_code, shown in answer.text) == (status, True)
