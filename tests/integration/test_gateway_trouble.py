"""The gateway in trouble: services away, queues deleted, told to stop, asked to listen to the world."""

from __future__ import annotations

import json
from typing import Any

import pika

from lab.services import Services
from lab.site import QUEUE
from tests.driver import Database
from tests.gateway_http import Caller, queued
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

GET_JOB, UPDATE_JOB = "/server/panda/getJob", "/server/panda/updateJob"
ACQUIRE, UPDATE = "/api/v1/pilot/acquire_jobs", "/api/v1/pilot/update_job"
ASK = {"siteName": QUEUE, "prodSourceLabel": "user", "mem": 24105.56, "diskSpace": 20000, "node": "vm"}
UNKNOWN = 10**12
NEW_ASK = {"site_name": QUEUE, "prod_source_label": "user"}


def test_without_a_broker_no_report_is_accepted(
    gateway: Processes, services: Services, pilot: Caller, database: Database, database_url: str
) -> None:
    assert pilot.get("/readyz", verbose="1") == {"status": "ok", "database": "ok", "broker": "ok", "schema": "ok"}
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    report = {"jobId": 1, "attemptNr": 1, "state": "finished"}
    services.rabbitmq.kill()
    assert pilot.http.post(UPDATE_JOB, json=report).status_code == 503
    assert database.value("SELECT count(*) FROM request") == 0, "who was told no must not find it done"
    answer = pilot.http.get("/readyz")
    assert (answer.status_code, answer.json()["broker"]) == (503, "away")
    services.rabbitmq.start()
    gateway.wait_until_ready(60)
    assert pilot.post(UPDATE_JOB, report)["command"] == "NULL"


def test_without_a_broker_a_submission_is_accepted_and_rolls_forward(
    gateway: Processes, services: Services, user: Caller, database: Database
) -> None:
    """Repeating it, unlike a report, would double the jobs: the user is told their ids, and the relay sends it."""
    jobs: list[Any] = [["NULL"] * 47 + [QUEUE] + ["NULL"] * 78 + [[]] for _ in range(30)]
    services.rabbitmq.kill()
    answer = user.post("/api/v1/job/submit", {"jobs": json.dumps(jobs)})
    assert answer["success"]
    ids = sorted(job_id for job_id, _definition, _jobset in answer["data"])
    assert len(set(ids)) == len(jobs)
    assert database.value("SELECT count(*) FROM outbox WHERE routing_key = 'submit'") > 0
    services.rabbitmq.start()
    for name in ("setupper", "relay"):
        gateway.start(name)
    born = "SELECT job_id FROM job_history JOIN job_transition USING (transition_id) WHERE event = 'submitted'"
    wait_until(lambda: sorted(job_id for (job_id,) in database.rows(born)) == ids, "the jobs, each once", 60)
    wait_until(lambda: database.value("SELECT count(*) FROM outbox WHERE routing_key = 'submit'") == 0, "all relayed")
    assert database.rows("SELECT routing_key FROM request") == []


def test_without_a_database_nothing_is_promised(gateway: Processes, services: Services, pilot: Caller) -> None:
    services.postgres.kill()
    answer = wait_until(lambda: (a := pilot.http.get("/readyz")).status_code == 503 and a, "no database")
    assert answer.json()["database"] == "away"
    assert pilot.http.get("/livez").status_code == 200
    refused = pilot.http.post(GET_JOB, json=ASK)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    services.start()
    gateway.wait_until_ready(60)
    assert pilot.post(GET_JOB, ASK)["StatusCode"] == 20


def test_deleted_queues_come_back_and_nothing_is_accepted_meanwhile(
    gateway: Processes, pilot: Caller, database_url: str, broker_url: str
) -> None:
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_delete("watcher")
    report = {"jobId": 1, "attemptNr": 1, "state": "finished"}
    assert pilot.http.post(UPDATE_JOB, json=report).status_code == 503
    wait_until(lambda: pilot.http.post(UPDATE_JOB, json=report).status_code == 200, "the queue is declared again")
    assert queued(broker_url, "watcher")


def test_sigterm_finishes_what_is_under_way(gateway: Processes, pilot: Caller, database_url: str) -> None:
    add_jobs(database_url, range(1, 501))
    pilot.post(GET_JOB, ASK)
    gateway.stop("gateway")
    database = Database(database_url)
    assert database.value("SELECT count(*) FROM outbox") == 0
    database.close()
    assert "Traceback" not in gateway.log("gateway")


def test_it_binds_to_loopback_only(processes: Processes) -> None:
    daemon = processes.start("gateway", PANDA_FSM_GATEWAY_HOST="0.0.0.0")  # noqa: S104
    wait_until(lambda: not daemon.is_running, "it refuses to start")
    assert "loopback" in processes.log("gateway")
