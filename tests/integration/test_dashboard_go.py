"""Search by any id: a browser is led to the only thing that is called so, else it reads what was found or tried."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from panda_fsm.messages import new_message_id
from panda_fsm.views.finding import asked_for
from tests.driver import Database
from tests.gateway_http import Caller
from tests.typed import Run
from tests.waiting_jobs import add_jobs

TRIED = "It was looked for as"
NAME = "0c5b6b0e-6d8e-4d0b-9f0c-2f6a1f7d1d11"
"""prun calls jobs so: it could be the id of a message."""
OPERATION = "6fa459ea-ee8a-5ca4-894e-db77e160355e"


@pytest.fixture
def message_id(database_url: str, database: Database) -> str:
    """Of a step that job 4711 of task 7 made; 4711 is a worker too. Job 8 of that task is archived."""
    add_jobs(database_url, range(8, 9), state="finished", user_name="Bo")
    database.execute("UPDATE job SET ended_at = now()")
    database.execute("INSERT INTO job_archive SELECT * FROM job")
    database.execute("INSERT INTO job_ended SELECT job_id, ended_at FROM job")
    database.execute("DELETE FROM job")
    add_jobs(database_url, range(4711, 4712), task_id=7, user_name="Ana Lyst")
    database.execute("INSERT INTO worker (harvester_id, worker_id, site, status) VALUES ('h', '4711', 'LAB', 'ready')")
    message_id = new_message_id()
    database.execute("UPDATE job SET jobset_id = 555, name = %s", (NAME,))
    database.execute("UPDATE job_spec SET spec = spec || '{\"req_id\": 901}' WHERE job_id = 4711")
    database.execute("INSERT INTO data_block (name, kind) VALUES ('user.b<i>_sub1', 'sub')")
    database.execute("UPDATE job_file SET block_id = (SELECT block_id FROM data_block) WHERE lfn = 'log.4711'")
    database.execute("INSERT INTO cache_file (name, owner, size, checksum) VALUES ('sources.1.tar.gz', 'o', 1, 1)")
    database.execute("INSERT INTO worker_node (site, host_name, description) VALUES ('LAB', 'wn7', '{}')")
    database.execute(
        "INSERT INTO operation (operation_id, actor, actor_name, act, filter, wishes, reason, vos, total, is_at_least,"
        " last_job_id) VALUES (%s, 'a', 'a', 'kill', '{}', '{}', 'r', '{}', 1, false, 1)",
        (OPERATION,),
    )
    database.execute(
        "INSERT INTO job_history (job_id, version, transition_id, service, host, at, message_id)"
        " SELECT 4711, 2, min(transition_id), 'x', 'h', now(), %s FROM job_transition",
        (message_id,),
    )
    return message_id


ONE_THING = {
    "8": "/ui/jobs/8", " job 8 ": "/ui/jobs/8", "7": "/ui/tasks/7", "Bo": "/ui/jobs?user=Bo",
    "Ana Lyst": "/ui/jobs?user=Ana%20Lyst", "555": "/ui/jobs/4711", "901": "/ui/jobs/4711", NAME: "/ui/jobs/4711",
    "wn7": "/ui/sites/LAB", OPERATION: f"/ui/operations/{OPERATION}",
}  # fmt: skip


@pytest.mark.usefixtures("message_id")
def test_the_only_thing_is_gone_to(user: Caller) -> None:
    answers = {asked: user.http.get("/ui/go", params={"q": asked}) for asked in ONE_THING}
    assert {asked: answer.headers.get("location") for asked, answer in answers.items()} == ONE_THING
    assert {answer.status_code for answer in answers.values()} == {303}


def test_a_message_leads_to_the_job_that_it_moved(user: Caller, message_id: str) -> None:
    assert user.http.get("/ui/go", params={"q": message_id}).headers["location"] == "/ui/jobs/4711"


@pytest.mark.usefixtures("message_id")
def test_several_things_are_shown(user: Caller) -> None:
    page = user.http.get("/ui/go", params={"q": "4711"})
    assert page.status_code == 200
    assert 'href="/ui/jobs/4711"' in page.text
    assert "worker" in page.text
    assert [hit["kind"] for hit in user.get("/ui/go.json", q="4711")["rows"]] == ["job", "worker"]


@pytest.mark.usefixtures("message_id")
def test_what_has_no_page_is_shown_where_it_was_found(user: Caller) -> None:
    """Hostile text is text."""
    page = user.http.get("/ui/go", params={"q": "user.b<i>_sub1"})
    assert page.status_code == 200
    assert "user.b&lt;i&gt;_sub1" in page.text
    found = user.get("/ui/go.json", q="user.b<i>_sub1")["rows"]
    assert [(hit["kind"], hit["name"]) for hit in found] == [("block", "user.b<i>_sub1"), ("job", "4711")]
    assert "sources.1.tar.gz" in user.http.get("/ui/go", params={"q": "sources.1.tar.gz"}).text


@pytest.mark.usefixtures("message_id")
def test_it_is_found_on_a_terminal_too(run: Run) -> None:
    found = run("find", "4711")
    assert found.returncode == 0
    assert [row.split()[:2] for row in found.stdout.splitlines()[1:]] == [["job", "4711"], ["worker", "4711"]]
    nothing = run("find", "[red]nowhere")
    assert (nothing.returncode, nothing.stdout) == (1, "")
    assert "'[red]nowhere'" in nothing.stderr
    assert "user name" in nothing.stderr
    assert run("find", "nowhere\x1b[2J", "--json").returncode == 2


@pytest.mark.parametrize(
    "asked", ["99", "nobody", "9" * 19, "018f0000-0000-7000-8000-00000000000z", "<script>", "1e3", "²"]
)
def test_what_is_nowhere_is_said_with_what_was_tried(user: Caller, asked: str) -> None:
    page = user.http.get("/ui/go", params={"q": asked})
    assert page.status_code == 200
    assert TRIED in page.text
    assert "<script>" not in page.text


def test_nothing_is_asked_for_nothing(user: Caller) -> None:
    assert "What do you look for?" in user.http.get("/ui/go?q=").text


def test_the_id_of_a_message_tells_when_it_was_made() -> None:
    sent_at = asked_for(new_message_id()).sent_at
    assert sent_at is not None
    assert abs((datetime.now(UTC) - sent_at).total_seconds()) < 3600
    assert asked_for("ffffffff-ffff-7fff-8000-000000000000").sent_at is None
