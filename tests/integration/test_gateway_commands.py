"""Debug mode and commands over HTTP: who may use them, what the pilot hears; and lists and histories of jobs."""

from __future__ import annotations

import time
from typing import Any

from lab.site import QUEUE, VO
from panda_fsm.messages import PilotReport, TellPilot
from tests.driver import Database
from tests.gateway_http import Caller, received
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

COMMAND, DEBUG, OLD_DEBUG = "/api/v1/job/set_command", "/api/v1/job/set_debug_mode", "/server/panda/setDebugMode"
PILOTS_DEBUG, STDOUT = "/api/v1/pilot/set_debug_mode", "/api/v1/job/get_stdout"
LIST, HISTORY = "/api/v1/job/list", "/api/v1/job/get_history"
DONE = {"success": True, "message": "", "data": None}
UNKNOWN = 10**12


def test_who_may_tell_a_pilot_what(
    gateway: Processes, user: Caller, pilot: Caller, database: Database, database_url: str, broker_url: str
) -> None:
    add_jobs(database_url, range(1, 2), owner=user.key, holder=pilot.key, state="running")
    add_jobs(database_url, range(2, 3), owner=user.key, holder=pilot.key, state="finished")
    manager = Caller(gateway.gateway_url, "boss", groups=[f"{VO}/production"])
    stranger = Caller(gateway.gateway_url, "stranger")
    assert manager.post(COMMAND, {"job_id": 1, "command": "ls -l"}) == DONE
    assert manager.post(DEBUG, {"job_id": 1, "mode": "True"}) == DONE
    assert pilot.post(PILOTS_DEBUG, {"job_id": "1", "mode": True}) == DONE
    assert pilot.post(OLD_DEBUG, {"pandaID": 1, "modeOn": False}) == {"StatusCode": 0}
    assert manager.post(COMMAND, {"job_id": 1}) == DONE
    for path, ask in ((COMMAND, {"command": "ls -l"}), (DEBUG, {"mode": True})):
        refused = stranger.http.post(path, json={"job_id": 1} | ask)
        assert (refused.status_code, refused.json()["success"]) == (403, False)
        # With a true status: clients throw the reason away of what comes with 200.
        for job_id, status, why in ((UNKNOWN, 404, "is not known"), (2, 409, "is finished")):
            answer = manager.http.post(path, json={"job_id": job_id} | ask)
            assert (answer.status_code, why in answer.json()["message"]) == (status, True)
            if path == DEBUG:
                told = pilot.post(PILOTS_DEBUG, {"job_id": job_id} | ask)
                assert (told["success"], why in told["message"]) == (False, True)
    commanded = user.http.post(COMMAND, json={"job_id": 1, "command": "ls -l"})
    assert commanded.status_code == 403, "a pilot runs it with rights that the job's owner has not"
    assert pilot.http.post(COMMAND, json={"job_id": 1, "command": "ls -l"}).status_code == 403, "not its own idea"
    assert stranger.post(OLD_DEBUG, {"pandaID": 1, "modeOn": True})["StatusCode"] == 70
    bad = manager.http.post(COMMAND, json={"job_id": 1, "command": "rm -rf /"})
    assert (bad.status_code, "command: must be softkill, or" in bad.json()["message"]) == (400, True)
    told = received(broker_url, "watcher", 5)
    assert {type(one) for one in told} == {TellPilot}
    assert sorted((one.command, one.debug, one.actor) for one in told if one.debug is None) == [
        ("", None, "boss"), ("ls -l", None, "boss")
    ]  # fmt: skip
    assert [one.debug for one in told if one.debug is not None].count(True) == 2
    assert database.value("SELECT count(*) FROM request WHERE routing_key = 'tell'") == 5
    audit = database.rows("SELECT actor, object, detail - 'name' - 'jobs' - 'job_ids' FROM audit ORDER BY audit_id")
    assert audit[0] == (manager.key, "job 1", {"command": "ls -l"})
    assert len(audit) == 5
    for one in (manager, stranger):
        one.close()


def test_a_pilot_hears_it_with_its_next_report_and_what_it_shows_is_read(
    gateway: Processes, user: Caller, pilot: Caller, database: Database, database_url: str, broker_url: str
) -> None:
    add_jobs(database_url, range(1, 2), owner=user.key, holder=pilot.key, state="running", command="debug,ls -l")
    report = {"jobId": 1, "state": "running", "attemptNr": 1}
    assert pilot.post("/server/panda/updateJob", report) == {"StatusCode": 0, "command": "debug,ls -l"}
    (beat,) = received(broker_url, "watcher.heartbeats", 1)
    assert isinstance(beat, PilotReport)
    assert (beat.told, beat.heartbeat) == ("ls -l", True)
    assert pilot.post("/server/panda/updateJob", report | {"state": "finished"})["command"] == "NULL"
    described = user.post("/api/v1/job/get_description", {"job_ids": [1]})["data"][0]
    assert (described["commandToPilot"], described["specialHandling"]) == ("ls -l", "debug")
    assert user.get(STDOUT, job_id=1)["data"] is None
    database.execute("INSERT INTO job_stdout (job_id, stdout) VALUES (1, 'a line')")
    assert user.get(STDOUT, job_id=1)["data"]["stdout"] == "a line"
    assert user.get(STDOUT, job_id=UNKNOWN)["data"] is None
    assert pilot.http.get(STDOUT, params={"job_id": 1}).status_code == 403


def test_debug_mode_beside_a_soft_kill_is_refused(user: Caller, pilot: Caller, database_url: str) -> None:
    """No pilot would see it."""
    add_jobs(database_url, range(1, 2), owner=user.key, holder=pilot.key, state="running", command="softkill")
    unseen = user.http.post(DEBUG, json={"job_id": 1, "mode": True})
    assert (unseen.status_code, "told softkill" in unseen.json()["message"]) == (409, True)
    assert pilot.post(OLD_DEBUG, {"pandaID": 1, "modeOn": True})["StatusCode"] == 30
    assert user.post(DEBUG, {"job_id": 1, "mode": False}) == DONE


def test_what_others_see_of_it(user: Caller, pilot: Caller, database_url: str) -> None:
    """A command names what is in a job: it is for those who may read what its pilot shows."""
    add_jobs(database_url, range(1, 2), owner=user.key, state="running", command="debug,ls -l,")
    add_jobs(database_url, range(2, 3), owner=user.key, state="running", command="tobekilled")
    for who, told, command in ((user, "debug,ls -l", "ls -l"), (pilot, "NULL", None)):
        states = who.get("/api/v1/job/get_status", job_ids=[1, 2])["data"]
        assert [one["command"] for one in states] == [told, "tobekilled"]
        described = who.post("/api/v1/job/get_description", {"job_ids": [1, 2]})["data"]
        assert [one["commandToPilot"] for one in described] == [command, "tobekilled"]


def test_production_of_a_working_group_tells_the_pilots_of_its_jobs(
    gateway: Processes, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 3), state="running", label="managed", command="debug,tail x,")
    database.execute("""UPDATE job_spec SET spec = spec || '{"working_group": "gr_higg"}' WHERE job_id = 1""")
    manager = Caller(gateway.gateway_url, "of-group", groups=[f"{VO}/higg/production"])
    assert manager.post(COMMAND, {"job_id": 1, "command": "ls -a"}) == DONE
    assert manager.get(STDOUT, job_id=1)["data"] is None
    for path, ask in ((COMMAND, {"command": "ls -a"}), (DEBUG, {"mode": True})):
        assert manager.http.post(path, json={"job_id": 2} | ask).status_code == 403
    assert manager.http.get(STDOUT, params={"job_id": 2}).status_code == 403
    states = manager.get("/api/v1/job/get_status", job_ids=[1, 2])["data"]
    assert [one["command"] for one in states] == ["debug,tail x", "NULL"]
    described = manager.post("/api/v1/job/get_description", {"job_ids": [1, 2]})["data"]
    assert [one["commandToPilot"] for one in described] == ["tail x", None]
    manager.close()


def test_lists_and_histories_over_http(user: Caller, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 6), user_name="me")
    add_jobs(database_url, range(6, 8), task_id=8)
    database.execute(
        "INSERT INTO job_history (job_id, version, transition_id, service, host, detail)"
        " SELECT 1, 1, transition_id, 'setupper', 'h', 'why' FROM job_transition WHERE event = 'submitted'"
    )
    database.execute("INSERT INTO job_sample (job_id, slot, max_rss) VALUES (1, now(), 5)")
    asked: dict[str, Any] = {"user_name": "me", "limit": 2, "since": int(time.time()) - 3600}
    found, pages = [], 0
    while True:
        page = user.get(LIST, **asked)["data"]
        found += [job["PandaID"] for job in page["jobs"]]
        pages += 1
        if page["next"] is None:
            break
        asked["after"] = page["next"]
    assert (found, pages) == ([5, 4, 3, 2, 1], 3)
    (job, _) = user.get(LIST, task_id=8)["data"]["jobs"]
    assert (job["jobStatus"], job["computingSite"], job["archived"], job["endTime"]) == (
        "activated",
        QUEUE,
        False,
        None,
    )
    none: dict[str, Any] = {"jobs": [], "next": None}
    assert user.get(LIST, state="running")["data"] == none | {"since": None}
    assert user.get(LIST, state="failed", task_id=8)["data"] == none | {"since": None}
    assert user.get(LIST, state="failed", since=5)["data"] == none | {"since": 5}
    assert user.get(LIST, state="failed", until=10**9)["data"] == none | {"since": 10**9 - 86_400}
    assert user.get(LIST, state="failed")["data"]["since"] >= time.time() - 86_400 - 600, "not all of the archive"
    for wrong in ({"state": "lost"}, {"after": "x"}, {"limit": 1001}, {"since": -1}):
        assert user.http.get(LIST, params=wrong).status_code == 400, wrong
    past = user.get(HISTORY, job_id=1)["data"]
    assert [(step["trigger"], step["state"], step["detail"]) for step in past["steps"]] == [
        ("submitted", "defined", "why")
    ]
    assert [one["max_rss"] for one in past["samples"]] == [5]
    assert user.get(HISTORY, job_id=UNKNOWN)["data"] is None
