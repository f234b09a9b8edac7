"""The gateway as pilots meet it: handing out, being told, every encoding, workers, small questions."""

from __future__ import annotations

import gzip
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpx
import pytest

from lab.site import QUEUE
from panda_fsm.messages import PilotReport
from tests.driver import Database
from tests.gateway_http import Caller, queued, received
from tests.invariants import Listener
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

GET_JOB, UPDATE_JOB = "/server/panda/getJob", "/server/panda/updateJob"
ACQUIRE, UPDATE = "/api/v1/pilot/acquire_jobs", "/api/v1/pilot/update_job"
ASK = {"siteName": QUEUE, "prodSourceLabel": "user", "mem": 24105.56, "diskSpace": 20000, "node": "vm"}
UNKNOWN = 10**12
NEW_ASK = {"site_name": QUEUE, "prod_source_label": "user"}


def test_old_pilot_gets_reports_and_is_told_to_stop(
    gateway: Processes, pilot: Caller, database_url: str, broker_url: str, database: Database
) -> None:
    add_jobs(database_url, range(1, 2))
    job = pilot.post(GET_JOB, ASK)
    assert (job["StatusCode"], job["PandaID"], job["attemptNr"]) == (0, 1, 1)
    assert (job["inFiles"], job["outFiles"], job["logFile"]) == ("input.1", "output.1,log.1", "log.1")
    assert job["ddmEndPointOut"] == "LAB_B_DATADISK,LAB_B_DATADISK"
    assert pilot.post(GET_JOB, ASK) == {"StatusCode": 20, "errorDialog": "no jobs in PanDA"}

    report = {"jobId": "1", "state": "starting", "attemptNr": "1", "node": "vm", "xml": "", "coreCount": "1"}
    assert pilot.post(UPDATE_JOB, report) == {"StatusCode": 0, "command": "NULL"}
    database.rows("UPDATE job SET state = 'running', command = 'tobekilled' WHERE job_id = 1 RETURNING 1")
    assert pilot.post(UPDATE_JOB, report | {"state": "running"})["command"] == "tobekilled"
    assert pilot.post(UPDATE_JOB, report | {"attemptNr": "2"})["command"] == "tobekilled"
    reports = received(broker_url, "watcher", 1)
    assert [(type(r), r.state, r.job_id, r.attempt_nr, r.heartbeat) for r in reports] == [
        (PilotReport, "starting", 1, 1, False)
    ]
    assert [r.heartbeat for r in received(broker_url, "watcher.heartbeats", 1)] == [True]
    # The heartbeat needs no copy, the other report keeps one until it is handled.
    assert database.value("SELECT array_agg(message_id::text) FROM request") == [reports[0].message_id]


def test_new_pilot_gets_many_at_once(pilot: Caller, database_url: str) -> None:
    add_jobs(database_url, range(1, 6))
    answer = pilot.post(ACQUIRE, NEW_ASK | {"n_jobs": 3, "worker_id": 7, "scheduler_id": "h"})
    assert (answer["success"], answer["data"]["StatusCode"]) == (True, 0)
    assert [job["PandaID"] for job in answer["data"]["jobs"]] == [1, 2, 3]
    assert len(pilot.post(ACQUIRE, NEW_ASK | {"n_jobs": 3})["data"]["jobs"]) == 2
    assert pilot.post(ACQUIRE, NEW_ASK) == {"success": False, "message": "No jobs in PanDA", "data": None}
    answer = pilot.post(UPDATE, {"job_id": 1, "job_status": "running", "attempt_nr": 1})
    assert answer == {"success": True, "message": "", "data": {"StatusCode": 0, "command": "NULL"}}
    answer = pilot.post(UPDATE, {"job_id": 1, "job_status": "running", "attempt_nr": 3})
    assert (answer["command"], answer["data"]["command"]) == ("tobekilled", "tobekilled")
    statuses = pilot.get("/api/v1/pilot/get_job_status", job_ids=[1, 99])["data"]
    assert statuses == [
        {"job_id": 1, "status": "sent", "attempt_number": 1},
        {"job_id": 99, "status": "notfound", "attempt_number": 0},
    ]


def test_only_the_holder_may_report(gateway: Processes, pilot: Caller, database_url: str, broker_url: str) -> None:
    add_jobs(database_url, range(1, 2))
    pilot.post(GET_JOB, ASK)
    report = {"jobId": "1", "state": "finished", "attemptNr": 1}
    for subject in ("pilot-2", ""):
        other = Caller(gateway.gateway_url, subject)
        assert other.post(UPDATE_JOB, report)["command"] == "tobekilled"
        other.close()
    assert queued(broker_url, "watcher") == []


@pytest.mark.parametrize("body", ["gzip", "gzip with header", "form", "json"])
def test_every_encoding_of_real_pilots(pilot: Caller, database_url: str, body: str) -> None:
    add_jobs(database_url, range(1, 2))
    text = json.dumps(ASK).encode()
    if body == "form":
        answer = pilot.http.post(GET_JOB, data={name: str(value) for name, value in ASK.items()})
    elif body == "json":
        answer = pilot.http.post(GET_JOB, content=text)
    else:
        headers = {"Content-Encoding": "gzip"} if "header" in body else {}
        answer = pilot.http.post(GET_JOB, content=gzip.compress(text), headers=headers)
    assert answer.json()["PandaID"] == 1


def test_32_pilots_at_once_get_different_jobs(gateway: Processes, database_url: str, broker_url: str) -> None:
    add_jobs(database_url, range(1, 301))
    events = Listener(broker_url)
    local = threading.local()

    def ask(number: int) -> Any:
        if not hasattr(local, "caller"):
            local.caller = httpx.Client(base_url=gateway.gateway_url, trust_env=False, timeout=30)
            callers.append(local.caller)
        return local.caller.post(GET_JOB, json=ASK | {"node": f"n{number}"}).json()["PandaID"]

    callers: list[httpx.Client] = []
    with ThreadPoolExecutor(32) as pool:
        got = list(pool.map(ask, range(300)))
    for caller in callers:
        caller.close()
    assert sorted(got) == list(range(1, 301))
    outbox = Database(database_url)
    wait_until(lambda: outbox.value("SELECT count(*) FROM outbox") == 0, "all events published")
    outbox.close()
    events.drain()


def test_workers_and_nodes(pilot: Caller, database: Database) -> None:
    started = {"workerID": "77", "harvesterID": "h", "status": "started", "site": QUEUE, "node_id": "vm"}
    assert pilot.post("/server/panda/updateWorkerPilotStatus", started) == {"StatusCode": 0}
    finished = {"worker_id": 77, "harvester_id": "h", "status": "finished"}
    assert pilot.post("/api/v1/pilot/update_worker_status", finished)["success"]
    assert database.rows("SELECT worker_id, status FROM worker") == [("77", "finished")]
    node = {"site": QUEUE, "host_name": "vm", "cpu_model": "EPYC", "comment": "a\x00b"}
    assert pilot.post("/api/v1/pilot/update_worker_node", node)["success"]
    assert pilot.post("/api/v1/pilot/update_worker_node_gpu", {"site": QUEUE, "host_name": "vm", "gpu": 1})["success"]
    assert database.value("SELECT description FROM worker_node") == {"cpu_model": "EPYC", "comment": "ab", "gpu": 1}


def test_what_pilots_say_once_more_by_curl_is_heard(pilot: Caller, database: Database) -> None:
    """With the old prefix before the new path, as a form."""
    for part in ("", "_gpu"):
        node = {"site": QUEUE, "host_name": "vm", f"model{part}": "x"}
        answer = pilot.http.post(f"/server/panda/api/v1/pilot/update_worker_node{part}", data=node)
        assert (answer.status_code, answer.json()["success"]) == (200, True)
    assert database.value("SELECT description FROM worker_node") == {"model": "x", "model_gpu": "x"}
    answer = pilot.post("/server/panda/api/v1/pilot/update_job", {"job_id": UNKNOWN, "job_status": "running"})
    assert answer["data"]["command"] == "tobekilled"


def test_what_pilots_ask_once(pilot: Caller) -> None:
    assert "SCORE" in pilot.post("/server/panda/getResourceTypes", {})["ResourceTypes"]
    assert pilot.get("/api/v1/metaconfig/get_resource_types")["data"][0]["resource_name"] == "SCORE"
    refused = pilot.http.get("/server/panda/get_access_token", params={"client_name": "pilot_server", "token_key": "k"})
    assert refused.json()["StatusCode"] != 0
    assert not {"true", "false", "null"} & set(refused.text.replace('"', " ").split()), "the pilot reads it as Python"
    for path in ("/api/v1/creds/get_access_token", "/api/v1/job/get_status"):
        assert pilot.http.get(path, params={"job_ids": [1]}).json()["success"] in (True, False)
    assert pilot.post("/server/panda/getProxy", {"role": "production"})["StatusCode"] != 0
    assert pilot.post("/api/v1/pilot/set_debug_mode", {"job_id": UNKNOWN, "mode": True})["success"] is False
    assert pilot.post("/server/panda/setDebugMode", {"pandaID": UNKNOWN, "modeOn": "True"})["StatusCode"] == 30
