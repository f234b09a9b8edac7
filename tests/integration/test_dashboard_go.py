"""Search by any id: a browser is led to the only thing that is called so, else it reads what was found or tried."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from panda_fsm.messages import new_message_id
from panda_fsm.views.finding import asked_for
from tests.driver import Database
from tests.gateway_http import Caller
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

TRIED = "It was looked for as"


@pytest.fixture(scope="module")
def message_id(shared_gateway: Processes) -> str:
    """Of a step that job 4711 of task 7 made; 4711 is a worker too. Job 8 of that task is archived."""
    database_url = shared_gateway.environment["PANDA_FSM_DATABASE_URL"]
    database = Database(database_url)
    add_jobs(database_url, range(8, 9), state="finished", user_name="Bo")
    database.execute("UPDATE job SET ended_at = now()")
    database.execute("INSERT INTO job_archive SELECT * FROM job")
    database.execute("INSERT INTO job_ended SELECT job_id, ended_at FROM job")
    database.execute("DELETE FROM job")
    add_jobs(database_url, range(4711, 4712), task_id=7, user_name="Ana Lyst")
    database.execute("INSERT INTO worker (harvester_id, worker_id, site, status) VALUES ('h', '4711', 'LAB', 'ready')")
    message_id = new_message_id()
    database.execute(
        "INSERT INTO job_history (job_id, version, transition_id, service, host, at, message_id)"
        " SELECT 4711, 2, min(transition_id), 'x', 'h', now(), %s FROM job_transition",
        (message_id,),
    )
    database.close()
    return message_id


@pytest.mark.parametrize(
    ("asked", "page"),
    [
        ("8", "/ui/jobs/8"), (" job 8 ", "/ui/jobs/8"), ("7", "/ui/tasks/7"), ("Bo", "/ui/jobs?user=Bo"),
        ("Ana Lyst", "/ui/jobs?user=Ana+Lyst"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("message_id")
def test_the_only_thing_is_gone_to(onlooker: Caller, asked: str, page: str) -> None:
    answer = onlooker.http.get("/ui/go", params={"q": asked})
    assert (answer.status_code, answer.headers["location"]) == (303, page)


def test_a_message_leads_to_the_job_that_it_moved(onlooker: Caller, message_id: str) -> None:
    assert onlooker.http.get("/ui/go", params={"q": message_id}).headers["location"] == "/ui/jobs/4711"


@pytest.mark.usefixtures("message_id")
def test_several_things_are_shown(onlooker: Caller) -> None:
    page = onlooker.http.get("/ui/go", params={"q": "4711"})
    assert page.status_code == 200
    assert 'href="/ui/jobs/4711"' in page.text
    assert "worker" in page.text
    assert [hit["kind"] for hit in onlooker.get("/ui/go.json", q="4711")["rows"]] == ["job", "worker"]


@pytest.mark.parametrize(
    "asked", ["99", "nobody", "9" * 19, "018f0000-0000-7000-8000-00000000000z", "<script>", "1e3", "²"]
)
def test_what_is_nowhere_is_said_with_what_was_tried(onlooker: Caller, asked: str) -> None:
    page = onlooker.http.get("/ui/go", params={"q": asked})
    assert page.status_code == 200
    assert TRIED in page.text
    assert "<script>" not in page.text


def test_nothing_is_asked_for_nothing(onlooker: Caller) -> None:
    assert "What do you look for?" in onlooker.http.get("/ui/go?q=").text


def test_the_id_of_a_message_tells_when_it_was_made() -> None:
    sent_at = asked_for(new_message_id()).sent_at
    assert sent_at is not None
    assert abs((datetime.now(UTC) - sent_at).total_seconds()) < 3600
    assert asked_for("ffffffff-ffff-7fff-8000-000000000000").sent_at is None
