"""All jobs that a filter finds, from the pages: looked at before, typed where it is much, done once, watched, ended."""

from __future__ import annotations

import re
from collections.abc import Iterator
from html import unescape
from typing import Any
from uuid import uuid4

import httpx
import pytest

from lab.site import VO
from tests.clockwork import Clock
from tests.driver import Database
from tests.plain_browser import Browser
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

WHICH = {"state": "activated", "task": 7}


@pytest.fixture
def ana(gateway: Processes) -> Iterator[Browser]:
    """An operator."""
    browser = Browser(gateway.gateway_url, "ana", "operator")
    yield browser
    browser.close()


def hidden(page: str) -> dict[str, str]:
    """What the form of the page sends by itself."""
    form = page.partition('action="/ui/act/operation"')[2].partition("</form>")[0]
    found = re.findall(r'type="hidden" name="(\w+)" value="([^"]*)"', form)
    return {name: unescape(value) for name, value in found}


def ask(browser: Browser, page: str, **more: Any) -> httpx.Response:
    form = hidden(page) | {"reason": "bad inputs"} | {name: str(value) for name, value in more.items()}
    return browser.http.post("/ui/act/operation", data=form)


def test_a_few_jobs_are_killed_with_a_dry_run_before(
    ana: Browser, database: Database, database_url: str, clock: Clock
) -> None:
    add_jobs(database_url, range(1, 6))
    add_jobs(database_url, range(6, 8), state="finished")
    assert "/ui/bulk?task=7" in ana.get("/ui/jobs", task=7, limit=2)
    page = ana.get("/ui/bulk", act="kill", task=7)
    assert "5 jobs" in page
    assert "is finished already" in page
    assert 'name="typed"' not in page
    first, again = ask(ana, page, code=99), ask(ana, page, code=99)
    assert (first.status_code, first.headers["location"]) == (303, again.headers["location"])
    assert database.rows("SELECT act, filter, wishes, total, status FROM operation") == [
        ("kill", {"task": "7"}, {"code": 99}, 5, "running")
    ]
    clock.round("operations")
    shown = ana.get(first.headers["location"])
    assert "5 of 5" in shown
    assert "is finished already" in shown
    assert database.rows("SELECT action FROM audit ORDER BY audit_id") == [("operation_begun",), ("kill_requested",)]
    assert "bad inputs" in ana.get("/ui/operations", status="done", actor="ana")
    assert database.value("SELECT count(*) FROM request WHERE routing_key = 'kill'") == 5


def test_much_is_typed_and_can_be_cancelled(
    ana: Browser, database: Database, database_url: str, gateway: Processes
) -> None:
    add_jobs(database_url, range(1, 1201))
    page = ana.get("/ui/bulk", **WHICH)
    assert "Type 1,200" in page
    for typed in ("", "12", "1200x"):
        refused = ask(ana, page, typed=typed)
        assert (refused.status_code, "type how many" in refused.text) == (400, True)
    assert database.value("SELECT count(*) FROM operation") == 0
    begun = ask(ana, page, typed="1,200")
    place = begun.headers["location"]
    operation = place.rpartition("/")[2]
    assert "Cancel…" in ana.get(place)
    bob = Browser(gateway.gateway_url, "bob", "operator", VO)
    assert "Cancel…" not in bob.get(place), "it may be about jobs of other VOs"
    assert bob.act("cancel_operation", operation_id=operation).status_code == 403
    assert ana.told(ana.act("cancel_operation", operation_id=operation, back=place)) == "It asks for no more jobs."
    assert ana.told(ana.act("cancel_operation", operation_id=operation, back=place)) == "It was over already."
    assert "cancelled" in ana.get(place)
    assert ana.act("cancel_operation", operation_id=str(uuid4())).status_code == 404
    bob.close()


def test_what_became_much_more_is_looked_at_again(ana: Browser, database_url: str) -> None:
    add_jobs(database_url, range(1, 3))
    page = ana.get("/ui/bulk", **WHICH)
    add_jobs(database_url, range(3, 201))
    assert ask(ana, page, typed=2).status_code == 409
    assert ask(ana, ana.get("/ui/bulk", **WHICH, vo=VO), typed=200).status_code == 303


def test_who_may_not_looks_only(ana: Browser, gateway: Processes, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 3))
    form = hidden(ana.get("/ui/bulk", **WHICH))
    for role, vo in (("viewer", ""), ("shifter", "")):
        sam = Browser(gateway.gateway_url, "sam", role, vo)
        assert "/ui/bulk" not in sam.get("/ui/jobs", **WHICH)
        page = sam.get("/ui/bulk", **WHICH)
        assert ("where you are no operator" in page, 'action="/ui/act/operation"' in page) == (True, False)
        assert sam.post("/ui/act/operation", **(form | {"seal": sam.seal, "reason": "x"})).status_code == 403
        sam.close()
    of_another = Browser(gateway.gateway_url, "oda", "operator", "another")
    assert of_another.post("/ui/act/operation", **(form | {"seal": of_another.seal, "reason": "x"})).status_code == 409
    of_another.close()
    assert database.value("SELECT count(*) FROM operation") == 0


@pytest.fixture
def bea(shared_gateway: Processes, shared_url: str) -> Iterator[Browser]:
    """An operator whom nothing is granted."""
    browser = Browser(shared_gateway.gateway_url, "bea", "operator")
    yield browser
    browser.close()


@pytest.mark.parametrize(
    ("form", "status"),
    [
        ({"wanted": ""}, 400), ({"wanted": "colour=red"}, 400), ({"wanted": "state=red"}, 400),
        ({"wanted": "task=7", "act": "debug"}, 400), ({"wanted": "task=7", "eligible": "x"}, 400),
        ({"wanted": "task=7", "priority": "9" * 30}, 400), ({"wanted": "task=%00"}, 400), ({"wanted": "task=9"}, 409),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_refused(bea: Browser, form: dict[str, str], status: int) -> None:
    sent = {"key": str(uuid4()), "reason": "x", "act": "kill", "eligible": "1"} | form
    assert bea.post("/ui/act/operation", **sent).status_code == status


@pytest.mark.parametrize(
    "path", ["/ui/operations/x", "/ui/operations/0192b0a4-0000-7000-8000-000000000000", "/ui/operations/%00"]
)
def test_what_is_not_there_is_said(bea: Browser, path: str) -> None:
    assert bea.http.get(path).status_code == 404
    assert 'action="/ui/act/operation"' not in bea.get("/ui/bulk"), "not all of all"
