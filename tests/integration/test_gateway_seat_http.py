"""The seat as pilots meet it: lost answers, broken connections, who may report, and silence that is none."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from consumers.watcher import Watcher
from lab.site import QUEUE, VO
from panda_fsm.jobs.facts import TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.messages import DeadlinePassed
from tests.driver import Database
from tests.gateway_http import Caller, received
from tests.inprocess import Serve, steps
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

GET_JOB, UPDATE_JOB = "/server/panda/getJob", "/server/panda/updateJob"
ACQUIRE, UPDATE = "/api/v1/pilot/acquire_jobs", "/api/v1/pilot/update_job"
ASK = {"siteName": QUEUE, "prodSourceLabel": "user", "node": "vm"}
WORKER = ASK | {"harvester_id": "labharv", "worker_id": "77"}
NEW = {"site_name": QUEUE, "prod_source_label": "user", "node": "vm"}


@pytest.fixture
def others(gateway: Processes) -> Iterator[dict[str, Caller]]:
    """Other callers than the pilot."""
    made = {
        "harvester": Caller(gateway.gateway_url, "harvester"),
        "pilot of the VO": Caller(gateway.gateway_url, "p", groups=[f"{VO}/pilot"]),
        "production of the VO": Caller(gateway.gateway_url, "m", groups=[f"{VO}/production"]),
        "pilot of another VO": Caller(gateway.gateway_url, "q", groups=["era/pilot"]),
        "somebody": Caller(gateway.gateway_url, "s"),
    }
    yield made
    for one in made.values():
        one.close()


def test_a_pilot_that_lost_the_answer_gets_the_same_job(pilot: Caller, database_url: str) -> None:
    add_jobs(database_url, range(1, 8))
    first = pilot.post(GET_JOB, WORKER)
    assert pilot.post(GET_JOB, WORKER) == first
    form = pilot.http.post(GET_JOB, data=WORKER | {"mem": "24105.56"})  # as the pilot repeats it with curl
    assert form.json()["PandaID"] == first["PandaID"] == 1
    new = NEW | {"scheduler_id": "labharv", "worker_id": 77}
    assert pilot.post(ACQUIRE, new)["data"]["jobs"][0]["PandaID"] == 1, "both dialects name the same worker"
    assert pilot.post(GET_JOB, WORKER | {"worker_id": "78"})["PandaID"] == 2
    assert [pilot.post(GET_JOB, ASK)["PandaID"] for _ in range(2)] == [3, 4], "two pilots of one machine"
    many = pilot.post(ACQUIRE, new | {"n_jobs": 2})["data"]["jobs"]
    assert [job["PandaID"] for job in many] == [5, 6]
    assert pilot.post(UPDATE_JOB, {"jobId": 1, "state": "starting", "attemptNr": 1, "node": "vm"})["command"] == "NULL"
    assert pilot.post(GET_JOB, WORKER)["PandaID"] == 7, "it spoke of the first"


@pytest.mark.parametrize("ask", [ASK, WORKER], ids=["nameless", "a worker"])
def test_a_job_for_a_pilot_that_hung_up_is_there_for_the_next(
    gateway: Processes, pilot: Caller, database_url: str, database: Database, ask: dict[str, str]
) -> None:
    """Claimed while the pilot gives up, or not claimed at all: the next one gets it at once."""
    add_jobs(database_url, range(1, 2))
    body = json.dumps(ask).encode()
    head = f"POST {GET_JOB} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Length: {len(body)}\r\n\r\n".encode()
    with psycopg.connect(database_url) as locker:
        locker.execute("LOCK TABLE job_history IN ACCESS EXCLUSIVE MODE")
        impatient = socket.create_connection(("127.0.0.1", gateway.gateway_port), 10)
        impatient.sendall(head + body)
        blocked = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'job_history'::regclass"
        wait_until(lambda: database.value(blocked) == 1, "its claim is under way")
        impatient.close()
    # Before its claim is at an end the job seems to wait, too.
    claiming = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'gateway' AND state <> 'idle'"
    is_back = "SELECT count(*) FROM job JOIN job_waiting USING (job_id) WHERE state = 'activated'"
    wait_until(lambda: database.value(claiming) == 0 and database.value(is_back) == 1, "the job waits again")
    assert pilot.post(GET_JOB, ask | {"worker_id": "78"})["PandaID"] == 1
    assert steps(database, 1)[-1][1] == "acquired"


@pytest.mark.parametrize(
    ("who", "command"),
    [("pilot of the VO", "NULL"), ("production of the VO", "NULL"), ("harvester", "NULL"),
     ("pilot of another VO", "tobekilled"), ("somebody", "tobekilled")],
)  # fmt: skip
def test_harvester_acquires_and_a_pilot_reports(
    others: dict[str, Caller], database_url: str, who: str, command: str
) -> None:
    add_jobs(database_url, range(1, 2))
    job = others["harvester"].post(ACQUIRE, NEW | {"n_jobs": 1, "node": "harvester.host"})["data"]["jobs"][0]
    report = {"job_id": job["PandaID"], "job_status": "starting", "attempt_nr": 1, "node": "worker.host"}
    assert others[who].post(UPDATE, report)["data"]["command"] == command


def test_another_attempt_or_batch_is_a_ghost_whoever_reports(
    others: dict[str, Caller], database_url: str, database: Database, broker_url: str
) -> None:
    add_jobs(database_url, range(1, 2), state="running", holder="s:harvester")
    pilot = others["pilot of the VO"]

    def told(**fields: Any) -> Any:
        report = {"job_id": 1, "job_status": "running", "attempt_nr": 1} | fields
        return pilot.post(UPDATE, report)["data"]["command"]

    assert told(attempt_nr=2) == "tobekilled"
    assert told(attempt_nr="NULL") == "NULL"
    for known, said, command in (("1234.0", "1235.0", "NULL"), ("a.b#1", "a.b#2", "tobekilled")):
        database.execute("UPDATE job SET pilot = %s", (json.dumps({"batch_id": known}),))
        assert told(batch_id=said) == command
    notes = [one for one in received(broker_url, "watcher.heartbeats", 3) if one.foreign_batch]
    assert [one.attributes for one in notes] == [{"batch_id": "a.b#2"}]


def test_the_pilot_that_lost_its_job_by_silence_is_told_to_stop(
    pilot: Caller, database_url: str, database: Database, serve: Serve
) -> None:
    """Both have the same token."""
    add_jobs(database_url, range(1, 2))
    pilot.post(GET_JOB, ASK | {"node": "silent"})
    database.execute("UPDATE job SET deadline_at = now() - interval '1 s'")
    serve(Watcher(TableLimits({}, {}))).handle(DeadlinePassed(job_id=1, state=State.SENT, version=4))
    report = {"jobId": 1, "state": "starting", "attemptNr": 1}
    assert pilot.post(UPDATE_JOB, report | {"node": "silent"})["command"] == "tobekilled"
    assert pilot.post(GET_JOB, ASK | {"node": "other"})["PandaID"] == 1
    assert pilot.post(UPDATE_JOB, report | {"node": "silent"})["command"] == "tobekilled"
    assert pilot.post(UPDATE_JOB, report | {"node": "other"})["command"] == "NULL"


@pytest.mark.parametrize("state", ["starting", "running", "holding"])
@pytest.mark.parametrize("said", ["running", "transferring"])
def test_whatever_a_pilot_repeats_for_days_counts_as_its_heartbeat(
    pilot: Caller, database_url: str, database: Database, serve: Serve, state: str, said: str
) -> None:
    add_jobs(database_url, range(1, 2), state=state, holder=pilot.key)
    database.execute(
        "UPDATE job SET deadline_at = now() - interval '1 s', state_changed_at = now() - interval '3 days'"
    )
    assert pilot.post(UPDATE_JOB, {"jobId": 1, "state": said, "attemptNr": 1})["command"] == "NULL"
    serve(Watcher(TableLimits({}, {}))).handle(DeadlinePassed(job_id=1, state=State(state), version=3))
    assert database.value("SELECT state FROM job") == state
