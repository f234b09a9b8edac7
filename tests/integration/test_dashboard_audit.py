"""The audit page: who did what, filtered, paged, as JSON and CSV; what users wrote is shown as text."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from tests.driver import Database
from tests.gateway_http import Caller
from tests.processes import Processes

PAGE = "/ui/audit"
HOSTILE = "<script>alert(1)</script>"


def write(database: Database, count: int, **columns: Any) -> None:
    """So many deeds, about jobs 1, 2, …"""
    row = {"actor": "s:1", "action": "kill_requested", "name": "Ana", "reason": "too old", "count": count} | columns
    database.execute(
        "INSERT INTO audit (actor, action, object, detail) SELECT %(actor)s, %(action)s, 'job ' || n,"
        " jsonb_build_object('name', %(name)s::text, 'reason', %(reason)s::text, 'jobs', 1)"
        " FROM generate_series(1, %(count)s) n",
        row,
    )


def objects(user: Caller, **query: Any) -> list[str]:
    """What the deeds that are found were done to."""
    return [row["object"] for row in user.get(f"{PAGE}.json", **query)["rows"]]


def test_the_newest_come_first_and_pages_end(user: Caller, database: Database) -> None:
    write(database, 5)
    seen: list[str] = []
    after: dict[str, Any] = {}
    for _ in range(3):
        found = user.get(f"{PAGE}.json", limit=2, **after)
        seen += [row["object"] for row in found["rows"]]
        after = {"after": found["next"]}
    assert seen == ["job 5", "job 4", "job 3", "job 2", "job 1"]
    assert after == {"after": None}
    first = user.http.get(PAGE, params={"limit": 2, "actor": "Ana"}).text
    assert "job 5" in first
    assert "job 3" not in first
    assert 'rel="next" href="/ui/audit?limit=2&amp;actor=Ana&amp;after=' in first


@pytest.fixture(scope="module")
def written(shared_gateway: Processes) -> None:
    """Deeds of two, for those who only look."""
    database = Database(shared_gateway.environment["PANDA_FSM_DATABASE_URL"])
    write(database, 3)
    write(database, 2, actor="s:2", action="jobs_submitted", name="Bo")
    database.close()


@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"actor": "Bo"}, 2), ({"actor": "s:2"}, 2), ({"actor": "bo"}, 0), ({"action": "jobs_submitted"}, 2),
        ({"object": "job 1"}, 2), ({"object": "job"}, 0), ({"since": "1h"}, 5), ({"since": "2999-01-01"}, 0),
        ({"actor": "Bo", "object": "job 2", "since": "7d"}, 1), ({"actor": ""}, 5),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("written")
def test_filters(onlooker: Caller, query: dict[str, str], found: int) -> None:
    assert len(objects(onlooker, **query)) == found


def test_twins_say_the_same_and_compute_nothing(user: Caller, database: Database) -> None:
    write(database, 1, name='=HYPERLINK("http://evil.example")', reason="-1+1")
    (row,) = user.get(f"{PAGE}.json")["rows"]
    assert row["audit_id"] == "1"
    assert row["at"].endswith("+00:00")
    answer = user.http.get(f"{PAGE}.csv")
    assert answer.headers["content-disposition"] == 'attachment; filename="audit.csv"'
    (cells,) = csv.DictReader(io.StringIO(answer.text))
    assert list(cells) == ["audit_id", "at", "actor", "name", "action", "object", "detail"]
    assert (cells["name"], cells["object"]) == ('\'=HYPERLINK("http://evil.example")', row["object"])


def test_an_empty_list_says_what_to_do_and_its_csv_has_a_head(user: Caller) -> None:
    assert "Nothing was done yet" in user.http.get(PAGE).text
    assert "Take a filter away" in user.http.get(PAGE, params={"actor": "nobody"}).text
    assert user.http.get(f"{PAGE}.csv").text.startswith("audit_id,at,actor")


def test_what_users_wrote_is_text(user: Caller, database: Database) -> None:
    write(database, 1, name=HOSTILE, reason=HOSTILE, action=HOSTILE)
    page = user.http.get(PAGE, params={"actor": HOSTILE}).text
    assert HOSTILE not in page
    assert page.count("&lt;script&gt;") >= 4
