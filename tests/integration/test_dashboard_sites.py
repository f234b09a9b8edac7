"""The pages Sites and Site: the worst first, and of one queue all that is counted; what others wrote is text."""

from __future__ import annotations

import pytest

from tests import factories
from tests.driver import Database
from tests.gateway_http import Caller

HOSTILE = "<script>alert(1)</script>"

COUNTED = """
INSERT INTO job_count (state, site, vo, jobs) VALUES ('running', 'FAILS', 'v', 5), ('activated', 'SILENT', 'v', 7);
INSERT INTO site_asked SELECT 'FAILS', now() - ago, n, jobs, n - jobs
    FROM (VALUES (interval '10 min', 600, 500), (interval '2 h', 9, 0)) AS v(ago, n, jobs);
INSERT INTO site_ended VALUES ('FAILS', 3600, now(), 60, 40, 1, 0, 0),
    ('FAILS', 60, now() - interval '10 min', 60, 40, 1, 10, 100);
INSERT INTO node_ended SELECT 'FAILS', date_bin('10 min', now(), 'epoch') - ago, node, finished, failed
    FROM (VALUES (interval '10 min', '<script>alert(1)</script>', 1, 20), ('20 min', 'wn-2', 59, 10),
                 ('20 min', '<script>alert(1)</script>', 0, 10), ('30 min', 'wn-3', 10, 0), ('2 h', 'wn-4', 0, 90))
        AS v(ago, node, finished, failed);
INSERT INTO error_count VALUES (date_trunc('hour', now()), 'v', 'FAILS', 'ddm', 200, 40, now(), now(), 'lost', 7);
INSERT INTO pilot_ask VALUES ('FAILS', gen_random_uuid(), '{"memory": 2000}', now(), 600, 500),
    ('SILENT', gen_random_uuid(), '{}', now() - interval '3 hours', 1, 0)
"""


@pytest.fixture
def counted(database: Database) -> Database:
    """A queue that fails, one whose pilots are gone, and that of the sites file, at which nothing happens."""
    database.execute(COUNTED)
    return database


def test_the_worst_comes_first(user: Caller, counted: Database) -> None:
    rows = user.get("/ui/sites.json")["rows"]
    assert [row["name"] for row in rows] == ["FAILS", "SILENT", *sorted(row["name"] for row in rows[2:])]
    assert factories.QUEUE in {row["name"] for row in rows[2:]}
    failing, silent, *others = rows
    assert (failing["tone"], failing["running"], failing["asks_per_min"], failing["failed_share"]) == (
        "bad",
        5,
        10,
        0.4,
    )
    assert (failing["waited_s"], failing["top_error"]) == (10, "ddm:200")
    assert (silent["state"], silent["activated"]) == ("no pilots 3 h", 7)
    assert {row["state"] for row in others} == {"idle"}
    page = user.http.get("/ui/sites").text
    assert 'href="/ui/sites/FAILS"' in page
    assert HOSTILE not in page
    assert user.http.get("/ui/sites.csv").text.splitlines()[1].startswith("FAILS,")


def test_one_queue_with_all_that_is_counted(user: Caller, counted: Database) -> None:
    found = user.get("/ui/sites/FAILS.json")
    assert found["site"]["state"] == f"black hole {HOSTILE}"
    assert [(node["failed"], node["finished"]) for node in found["nodes"]] == [(30, 1), (10, 59)]
    assert [(error["component"], error["jobs"], error["share"]) for error in found["errors"]] == [("ddm", 40, 40 / 101)]
    assert (found["states"], found["asks"][0]["jobs"]) == ([["running", 5]], 500)
    page = user.http.get("/ui/sites/FAILS").text
    assert HOSTILE not in page
    assert "&lt;script&gt;" in page
    assert 'href="/ui/jobs?state=running&amp;site=FAILS"' in page
    assert "No source has it" in page


def test_a_queue_of_the_sites_file_shows_its_settings(onlooker: Caller) -> None:
    found = onlooker.get(f"/ui/sites/{factories.QUEUE}.json")
    assert dict(found["settings"])["maxrss"] == "4000"
    assert (found["facts"]["status"], found["facts"]["memory_mb"]) == ("online", 4000)
    assert found["storages"][0]["path"]
    page = onlooker.http.get(f"/ui/sites/{factories.QUEUE}").text
    assert "What its pilots read" in page
    assert "the sites file" in page, "who says so, as long as nothing was imported"


@pytest.mark.parametrize("name", ["nowhere", "%3Cb%3E", "x" * 200, "%00"])
def test_a_queue_that_nobody_knows(onlooker: Caller, name: str) -> None:
    answer = onlooker.http.get(f"/ui/sites/{name}")
    assert (answer.status_code, "there is no queue" in answer.text, "<b>" in answer.text) == (404, True, False)


def test_a_paused_queue_says_so(user: Caller, database: Database) -> None:
    database.execute(
        "INSERT INTO pause (kind, name, is_paused, actor, reason, message_id)"
        " VALUES ('site', %s, true, 'Ana', 'drained', gen_random_uuid())",
        (factories.QUEUE,),
    )
    assert user.get(f"/ui/sites/{factories.QUEUE}.json")["site"]["state"] == "paused"
    assert "is paused by Ana" in user.http.get(f"/ui/sites/{factories.QUEUE}").text
