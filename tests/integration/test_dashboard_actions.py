"""What is done from the pages with a job and a task: who may, once, with a reason, and in the audit."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gateway.dashboard.actions import ACTIONS
from lab.site import QUEUE, VO
from panda_fsm.messages import (
    AnyMessage,
    HoldTask,
    KillJob,
    ReassignJob,
    ReleaseJobs,
    SetPause,
    SetPriority,
    TellPilot,
    ThrottleJobs,
    decode,
)
from panda_fsm.pausing import NEVER
from tests.driver import Database
from tests.plain_browser import Browser
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

ROUTES = [row.path for row in ACTIONS.values()]
Person = Callable[..., Browser]
JOBS = {1: "running", 2: "activated", 3: "pending", 4: "throttled", 5: "finished"}
ASKED: list[tuple[str, dict[str, Any], AnyMessage, str]] = [
    ("kill", {"job_id": 1, "code": 99}, KillJob(job_id=1, code=99, reason="a test", forced=True), "kill_requested"),
    ("kill", {"job_id": 1}, KillJob(job_id=1, code=91, reason="a test"), "kill_requested"),
    ("reassign", {"job_id": 2}, ReassignJob(job_id=2), "reassign_requested"),
    ("priority", {"job_id": 2, "priority": "-7"}, SetPriority(jobs=[2], priority=-7), "priority_set"),
    ("release", {"job_id": 3}, ReleaseJobs(jobs=[3]), "release_requested"),
    ("release", {"job_id": 4}, ThrottleJobs(jobs=[4], throttle=False), "release_requested"),
    ("debug", {"job_id": 1, "debug": "true"}, TellPilot(job_id=1, debug=True), "pilot_told"),
    ("hold_task", {"task_id": 7}, HoldTask(task_id=7, is_held=True, reason="a test"), "task_held"),
    ("resume_task", {"task_id": 7}, HoldTask(task_id=7, is_held=False, reason="a test"), "task_resumed"),
    ("pause_queue", {"name": "adder"}, SetPause(kind="queue", name="adder", is_paused=True, reason="a test"),
     "pause_requested"),
    ("resume_queue", {"name": "adder"}, SetPause(kind="queue", name="adder", is_paused=False, reason="a test"),
     "resume_requested"),
    ("pause_site", {"name": QUEUE, "hours": 0}, SetPause(kind="site", name=QUEUE, is_paused=True, reason="a test"),
     "pause_requested"),
    ("resume_site", {"name": QUEUE}, SetPause(kind="site", name=QUEUE, is_paused=False, reason="a test"),
     "resume_requested"),
]  # fmt: skip
OF_JOBS_AND_TASKS = {name for name, row in ACTIONS.items() if row.kind in ("job", "task")}
REFUSED: list[tuple[str, dict[str, Any], int, str]] = [
    ("kill", {"job_id": 5}, 409, "is finished already"), ("kill", {"job_id": 10**12}, 404, "is not known"),
    ("kill", {"job_id": "x"}, 400, "job_id"), ("kill", {"job_id": 1, "code": 3}, 400, "code"),
    ("kill", {"job_id": 1, "reason": "  "}, 400, "reason"), ("kill", {"job_id": 1, "key": ""}, 400, "key"),
    ("reassign", {"job_id": 1}, 409, "no pilot has had"), ("release", {"job_id": 2}, 409, "nobody holds it back"),
    ("debug", {"job_id": 5, "debug": "true"}, 409, "its pilot is done"), ("priority", {"job_id": 1}, 400, "priority"),
    ("priority", {"job_id": 1, "priority": "1e99"}, 400, "priority"), ("pause_queue", {"name": "x"}, 400, "adder"),
    ("pause_site", {"name": "<b>"}, 400, "there is no site"), ("pause_queue", {"name": NEVER}, 400, "cannot be paused"),
    ("pause_site", {"name": QUEUE, "hours": 9}, 400, "hours"),
]  # fmt: skip


@pytest.fixture
def person(gateway: Processes) -> Iterator[Person]:
    """Somebody with a browser."""
    known: list[Browser] = []

    def come(name: str = "", role: str = "viewer", vo: str = "") -> Browser:
        known.append(Browser(gateway.gateway_url, name, role, vo))
        return known[-1]

    yield come
    for one in known:
        one.close()


@pytest.fixture
def jobs(database_url: str) -> None:
    for job_id, state in JOBS.items():
        add_jobs(database_url, range(job_id, job_id + 1), state=state)


def kept(database: Database) -> list[AnyMessage]:
    """What was asked, in the order of asking."""
    return [decode(body.encode()) for (body,) in database.rows("SELECT body FROM request ORDER BY message_id")]


@pytest.mark.usefixtures("jobs")
def test_what_is_asked_is_kept_once_with_who_and_why(person: Person, database: Database) -> None:
    ana = person("ana", "operator")
    for number, (name, form, meant, audited) in enumerate(ASKED):
        form = {"key": f"the-key-{number}"} | form
        first, again = ana.act(name, **form), ana.act(name, **form)
        assert ana.told(first) == ana.told(again) != "", name
        messages = kept(database)
        assert len(messages) == number + 1, "once"
        message = messages[-1]
        spoken = {"message_id", "sent_at", "actor", "actor_key"}
        assert message.model_dump(exclude=spoken) == meant.model_dump(exclude=spoken)
        assert getattr(message, "actor", None) == "ana"
        ((action, what, detail),) = database.rows(
            "SELECT action, object, detail FROM audit ORDER BY audit_id DESC LIMIT 1"
        )
        told = f"job {form['job_id']}" if "job_id" in form else "task 7"
        if "name" in form:
            told = f"{ACTIONS[name].kind} {form['name']}"
        assert (action, what, detail["name"], detail["reason"]) == (audited, told, "ana", "a test")
    assert ana.act("kill", job_id=2, key="the-key-1").status_code == 422, "the key of another request"
    page = ana.get("/ui/audit")
    assert "held a task" in page
    assert "a test" in page


@pytest.mark.usefixtures("jobs")
def test_what_cannot_be_done_is_said_and_nothing_is_kept(person: Person, database: Database) -> None:
    ana = person("ana", "operator")
    for name, form, status, why in REFUSED:
        answer = ana.act(name, **form)
        assert (answer.status_code, why in answer.text) == (status, True), (name, form, answer.text)
    database.execute("UPDATE job SET is_jedis = true WHERE job_id IN (2, 4)")
    database.execute("INSERT INTO held_task (task_id, actor) VALUES (7, 'jedi')")
    for name, job_id, why in (("release", 4, "let the task go on"), ("reassign", 2, "JEDI")):
        answer = ana.act(name, job_id=job_id)
        assert (answer.status_code, why in answer.text) == (409, True)
    assert (kept(database), database.value("SELECT count(*) FROM audit")) == ([], 0)


@pytest.mark.usefixtures("jobs")
@pytest.mark.parametrize(
    ("role", "vo", "may"),
    [
        ("viewer", "", ()), ("shifter", VO, ("debug",)), ("operator", "another", ()),
        ("admin", VO, OF_JOBS_AND_TASKS), ("operator", "", ACTIONS), ("operator", VO, OF_JOBS_AND_TASKS),
    ],
)  # fmt: skip
def test_who_may_not_is_refused(person: Person, database: Database, role: str, vo: str, may: Any) -> None:
    somebody = person("sam", role, vo)
    for name, form, _, _ in ASKED:
        answer = somebody.act(name, **form)
        assert (answer.status_code == 303) is (name in may), (name, answer.text)
    for path in ROUTES:
        assert person().post(path, job_id=1, task_id=1, reason="x", key="some-key-1").status_code in (400, 401, 403)
    assert bool(kept(database)) is bool(may)


@pytest.mark.usefixtures("jobs")
def test_pages_offer_what_would_be_done_and_only_to_who_may(person: Person) -> None:
    ana, sam, viewer = person("ana", "operator", VO), person("sam", "shifter"), person("vic", "viewer")
    offered = {1: "kill priority debug", 2: "kill reassign priority debug", 3: "kill reassign priority release debug",
               4: "kill priority release debug", 5: ""}  # fmt: skip
    for job_id, names in offered.items():
        page = ana.get(f"/ui/jobs/{job_id}")
        assert {name for name in ACTIONS if f'action="/ui/act/{name}"' in page} == set(names.split())
        assert ('action="/ui/act/debug"' in sam.get(f"/ui/jobs/{job_id}")) is bool(names)
        assert 'action="/ui/act/' not in viewer.get(f"/ui/jobs/{job_id}")
    assert 'action="/ui/act/hold_task"' in ana.get("/ui/tasks/7")
    assert 'action="/ui/act/' not in sam.get("/ui/tasks/7") + viewer.get("/ui/tasks/7")


@pytest.mark.usefixtures("jobs")
def test_a_form_of_another_session_does_nothing(person: Person, database: Database) -> None:
    ana, eve = person("ana", "operator"), person("eve", "operator")
    for seal in ("", eve.seal, "x"):
        answer = ana.act("kill", job_id=1, seal=seal)
        assert (answer.status_code, "reload its page" in answer.text) == (403, True)
    foreign = ana.http.post("/ui/act/kill", data={"seal": ana.seal}, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    ana.post("/ui/session/end")
    assert ana.act("kill", job_id=1).status_code == 403, "signed out"
    assert kept(database) == []


def test_who_signs_in_to_act_goes_on_where_they_were(person: Person) -> None:
    ana = person("ana", "viewer")
    ours, home = "/ui/jobs?state=failed", "/ui/"
    for came, back in ((f"http://panda.example{ours}", ours), ("http://panda.example/ui/session", home),
                       ("http://evil.example/else", home), ("http://[", home)):  # fmt: skip
        page = ana.http.get("/ui/session", headers={"Referer": came}).text
        assert f'name="back" value="{back}"' in page


@pytest.mark.usefixtures("jobs")
def test_dashboards_that_only_show_do_nothing(processes: Processes, database: Database) -> None:
    processes.start("gateway", PANDA_FSM_DASHBOARD_READ_ONLY="true")
    processes.wait_until_ready()
    ana = Browser(processes.gateway_url, "ana", "admin")
    answer = ana.act("kill", job_id=1)
    assert (answer.status_code, "PANDA_FSM_DASHBOARD_READ_ONLY" in answer.text) == (403, True)
    assert kept(database) == []
    ana.close()
