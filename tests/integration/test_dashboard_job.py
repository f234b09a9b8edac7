"""The pages of one job, of tasks and of what is stuck: what they say, twins, what is not there, hostile text."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest
from psycopg.types.json import Jsonb

from panda_fsm.jobs.states import State
from tests import factories
from tests.clockwork import Clock, enter, in_block
from tests.driver import Database
from tests.gateway_http import Caller
from tests.inprocess import Serve
from tests.integration.test_process import Creator
from tests.plain_browser import Browser
from tests.processes import Processes

HOSTILE = "<script>alert(1)</script>"
EVIL = '"><img src=x onerror=alert(1)>'


@pytest.fixture
def jobs(serve: Serve, database: Database) -> Database:
    """Jobs 1..4, of task 7."""
    serve(Creator()).handle(factories.submit(*(factories.draft(n) for n in range(1, 5))))
    return database


def page(user: Caller, path: str, **query: Any) -> str:
    """A page that there is."""
    answer = user.http.get(path, params=query)
    assert answer.status_code == 200, answer.text
    return answer.text


def test_a_job_says_why_it_waits_and_what_it_went_through(user: Caller, jobs: Database) -> None:
    in_block(jobs, [1], "sub", "transferring", "a_sub1")
    enter(jobs, [1], State.TRANSFERRING, 600, has_report=True)
    jobs.execute("INSERT INTO job_ignored (job_id, what, times) VALUES (1, 'report.finished', 2)")
    text = page(user, "/ui/jobs/1")
    for said in (
        "Its 2 outputs are on the way from FROM to TO, asked for 10 min", "By itself:", "You could:",
        "→ defined", "submitted", "the final report came again: 2 times", "a_sub1", "/ui/tasks/7",
    ):  # fmt: skip
        assert said in text
    found = user.get("/ui/jobs/1.json")
    assert (found["now"]["job"]["job_id"], found["now"]["job"]["task_id"]) == ("1", "7")
    assert found["why"]["sentence"] in text.replace("&#39;", "'")
    (row,) = csv.DictReader(io.StringIO(user.http.get("/ui/jobs/1.csv").text))
    assert (row["state"], row["service"]) == ("defined", "setupper")


def test_a_job_is_shown_in_every_state(user: Caller, jobs: Database) -> None:
    states = list(State)
    jobs.execute("INSERT INTO job SELECT (jsonb_populate_record(j, jsonb_build_object('job_id', n))).* FROM job j,"
                 " generate_series(5, %s) n WHERE j.job_id = 1", (len(states),))  # fmt: skip
    for job_id, state in enumerate(states, start=1):
        enter(jobs, [job_id], state, 600, has_report=True)
        assert f"Job {job_id} <span" in page(user, f"/ui/jobs/{job_id}")


MISSING = {
    "/ui/jobs/99": "neither among live jobs nor in the archive",
    "/ui/jobs/99.json": "neither among live jobs nor in the archive",
    "/ui/jobs/99.csv": "neither among live jobs nor in the archive",
    "/ui/tasks/99": "no job of it is live",
    "/ui/tasks/x": "a task is a number",
} | {f"/ui/jobs/{name}": "a PandaID is a number" for name in ("x", "-1", "1e3", "9" * 30, "%D9%A1", "%3Cscript%3E")}


def test_what_is_not_there_is_said_with_what_was_tried(user: Caller) -> None:
    for path, said in MISSING.items():
        answer = user.http.get(path)
        assert answer.status_code == 404, path
        assert said in answer.text
        assert "<script>" not in answer.text


def test_what_users_and_pilots_wrote_is_text(user: Caller, jobs: Database, clock: Clock) -> None:
    enter(jobs, [1], State.RUNNING, 9000)
    errors = Jsonb({"pilot": {"code": 7, "diag": HOSTILE}, EVIL: HOSTILE})
    jobs.execute(
        "UPDATE job SET name = %(x)s, user_name = %(x)s, node = %(x)s, site = %(x)s, command = %(x)s,"
        " waits_for = %(x)s, holder = %(x)s,"
        " errors = %(errors)s, pilot = %(pilot)s, vo = %(x)s, label = %(x)s WHERE job_id = 1",
        {"x": EVIL, "errors": errors, "pilot": Jsonb({"worker_id": HOSTILE})},
    )
    jobs.execute("UPDATE job_file SET lfn = %s, dataset = %s WHERE job_id = 1 AND seq = 0", (HOSTILE, EVIL))
    jobs.execute("INSERT INTO job_stdout (job_id, stdout) VALUES (1, %s)", (HOSTILE,))
    jobs.execute(
        "INSERT INTO pilot_report (job_id, attempt_nr, state, attributes) VALUES (1, 0, %s, %s)",
        (EVIL, Jsonb({EVIL: {"deep": HOSTILE}})),
    )
    jobs.execute(
        "INSERT INTO audit (actor, action, object, detail) VALUES (%s, %s, 'job 1', %s)",
        (EVIL, EVIL, Jsonb({"reason": HOSTILE})),
    )
    jobs.execute("INSERT INTO held_task (task_id, actor) VALUES (7, %s)", (EVIL,))
    jobs.execute("INSERT INTO job_ignored (job_id, what, times) VALUES (1, %s, 2)", (EVIL,))
    clock.slice("stuck")
    for path in ("/ui/jobs/1", "/ui/tasks", "/ui/tasks/7", "/ui/stuck", "/ui/stuck?rule=heartbeat_lost"):
        text = page(user, path)
        assert "<script>alert" not in text
        assert "<img" not in text
        assert "&lt;img" in text, path


def test_what_is_stuck_is_named_with_its_hop_and_its_jobs(user: Caller, jobs: Database, clock: Clock) -> None:
    enter(jobs, [1, 2], State.SENT, 3000)
    clock.slice("stuck")
    text = page(user, "/ui/stuck")
    for said in ("2 jobs", "Handed to a pilot that has not spoken since.", "sent_no_pilot", factories.QUEUE):
        assert said in text
    assert 'class="badge"' in text
    shown = page(user, "/ui/stuck", rule="sent_no_pilot", site=factories.QUEUE)
    assert "/ui/jobs/1" in shown
    assert "/ui/jobs/2" in shown
    (row,) = (one for one in user.get("/ui/stuck.json")["rows"] if one["rule"] == "sent_no_pilot")
    assert (row["place"], row["count"], row["owner"]) == (factories.QUEUE, 2, "site")
    assert "Nothing is stuck by that rule" in page(user, "/ui/stuck", rule="heartbeat_lost")
    refused = user.http.get("/ui/stuck", params={"rule": "everything"})
    assert refused.status_code == 400
    assert "heartbeat_lost" in refused.text


def test_tasks_are_listed_and_one_is_shown(user: Caller, jobs: Database) -> None:
    assert "/ui/tasks/7" in page(user, "/ui/tasks")
    assert "No task is held" in page(user, "/ui/tasks", held="yes")
    assert "has no live job" in page(user, "/ui/tasks", task=99)
    text = page(user, "/ui/tasks/7")
    assert "defined 4" in text
    (task,) = user.get("/ui/tasks.json")["rows"]
    assert (task["task_id"], task["states"]) == ("7", {"defined": 4})
    assert user.get("/ui/tasks/7.json")["newest"][0]["job_id"] == "4"


def test_who_may_act_finds_the_forms_on_the_page_and_a_viewer_none(gateway: Processes, jobs: Database) -> None:
    enter(jobs, [2], State.FINISHED, 60)
    for name, role, may in (("ana", "operator", True), ("eve", "viewer", False)):
        browser = Browser(gateway.gateway_url, name, role)
        assert ('action="/ui/act/kill"' in browser.get("/ui/jobs/1")) is may
        assert ('action="/ui/act/hold_task"' in browser.get("/ui/tasks/7")) is may
        assert 'action="/ui/act/' not in browser.get("/ui/jobs/2"), "it has ended"
        browser.close()
