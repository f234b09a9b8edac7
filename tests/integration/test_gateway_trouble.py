"""The gateway in trouble: services away, queues deleted, told to stop, asked to listen to the world."""

from __future__ import annotations

import contextlib
import json
from typing import Any

import pika
import psycopg
from pika.exceptions import ChannelClosedByBroker, ConnectionClosedByBroker

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


def test_without_a_broker_everything_is_accepted_and_rolls_forward(
    gateway: Processes, services: Services, pilot: Caller, user: Caller, database: Database, database_url: str
) -> None:
    """The kept request is the acceptance: report, kill and submission; each is done once the broker is back."""
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    add_jobs(database_url, range(2, 3), owner=user.key)
    jobs: list[Any] = [["NULL"] * 47 + [QUEUE] + ["NULL"] * 78 + [[]] for _ in range(130)]
    services.rabbitmq.kill()
    assert pilot.post(UPDATE_JOB, {"jobId": 1, "attemptNr": 1, "state": "finished"})["command"] == "NULL"
    assert user.post("/api/v1/job/kill", {"job_ids": [2]})["data"] == [True]
    submitted = user.post("/api/v1/job/submit", {"jobs": json.dumps(jobs)})["data"]
    ids = sorted(job_id for job_id, _definition, _jobset in submitted)
    kept = "SELECT routing_key, count(*) FROM request GROUP BY 1 ORDER BY 1"
    assert database.rows(kept) == [("kill", 1), ("report.finished", 1), ("submit", 2)]
    assert database.value("SELECT count(*) FROM outbox") == 0, "nothing is handed over"
    answer = pilot.http.get("/readyz")
    assert (answer.status_code, answer.json()["broker"].partition(":")[0]) == (503, "away")
    wait_until(lambda: database.value("SELECT max(sent_at) = 'epoch' FROM request"), "the relay need not wait for us")
    services.rabbitmq.start()
    for name in ("setupper.submissions", "watcher", "relay"):
        gateway.start(name)
    born = "SELECT job_id FROM job_history JOIN job_transition USING (transition_id) WHERE event = 'submitted'"
    wait_until(lambda: sorted(job_id for (job_id,) in database.rows(born)) == ids, "the jobs, each once", 60)
    wait_until(lambda: database.rows(kept) == [], "all requests are handled")
    states = database.rows("SELECT state FROM job WHERE job_id < 3 ORDER BY job_id")
    assert states == [("holding",), ("cancelled",)]


def test_heartbeats_are_written_down_by_who_acknowledges_them(
    gateway: Processes, services: Services, pilot: Caller, database: Database, database_url: str
) -> None:
    """No consumer runs, and there is no broker: the pilot was heard all the same. A ghost was not."""
    add_jobs(database_url, range(1, 5), state="running", holder=pilot.key)
    services.rabbitmq.kill()
    said = ((1, "running", 1), (2, "finished", 1), (3, "running", 2))
    answers = [pilot.post(UPDATE_JOB, {"jobId": n, "attemptNr": a, "state": s})["command"] for n, s, a in said]
    assert answers == ["NULL", "NULL", "tobekilled"]
    assert database.rows("SELECT job_id FROM job_heard ORDER BY 1") == [(1,), (2,)]
    assert database.rows("SELECT routing_key FROM request") == [("report.finished",)], "a heartbeat is not kept"


def test_a_read_only_database_is_trouble_that_passes(
    gateway: Processes, pilot: Caller, database: Database, database_url: str
) -> None:
    """As after a failover: no promise, no server error, and no restart once it can be written to again."""
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    report = {"jobId": 1, "attemptNr": 1, "state": "finished"}
    name = database.value("SELECT current_database()")
    sever = "SELECT count(pg_terminate_backend(pid)) FROM pg_stat_activity WHERE application_name LIKE 'gateway%%'"
    database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
    database.value(sever)
    state = wait_until(lambda: "read-only" in (a := pilot.http.get("/readyz")).text and a, "it is noticed")
    assert (state.status_code, state.json()["accepts"]) == (503, "nothing")
    for _ in range(10):
        assert pilot.http.post(UPDATE_JOB, json=report).status_code == 503
    # Such a database may be behind: it does not say who must stop.
    for stranger in ({"jobId": 10**12}, {"attemptNr": 2}):
        for _ in range(3):
            assert pilot.http.post(UPDATE_JOB, json=report | stranger).status_code == 503
    database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
    wait_until(lambda: pilot.http.post(UPDATE_JOB, json=report).status_code == 200, "it writes again")
    assert pilot.http.get("/readyz").status_code == 200
    assert "request_failed" not in gateway.log("gateway")


def test_what_no_broker_takes_is_refused_before_it_is_kept(
    pilot: Caller, user: Caller, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    report = {"jobId": 1, "attemptNr": 1, "state": "finished", "xml": "\x01" * 2_700_000}
    assert pilot.http.post(UPDATE_JOB, json=report).status_code == 413
    assert database.value("SELECT count(*) FROM request") == 0
    assert pilot.post(UPDATE_JOB, report | {"xml": "{}"})["command"] == "NULL"


def test_the_pulse_outlives_the_database(gateway: Processes, database: Database, services: Services) -> None:
    ticked = "SELECT ticked_at FROM pulse WHERE name = 'gateway'"
    first = wait_until(lambda: database.value(f"SELECT ({ticked})"), "the first tick")
    services.postgres.kill()
    services.start()
    wait_until(lambda: (now := _value(database, ticked)) and now > first, "it ticks on")


def _value(database: Database, query: str) -> Any:
    """A value, or nothing while the database is away."""
    try:
        return database.value(query)
    except psycopg.OperationalError:
        return None


def test_without_a_database_nothing_is_promised(gateway: Processes, services: Services, pilot: Caller) -> None:
    services.postgres.kill()
    answer = wait_until(lambda: (a := pilot.http.get("/readyz")).status_code == 503 and a, "no database")
    assert answer.json()["database"].startswith("away: ")
    assert pilot.http.get("/livez").status_code == 200
    # After two errors the real pilot ends; told that there is no job it asks later.
    assert pilot.post(GET_JOB, ASK)["StatusCode"] == 20
    refused = pilot.http.post(ACQUIRE, json=NEW_ASK)
    assert refused.status_code == 503
    assert int(refused.headers["Retry-After"]) > 0
    wait_until(lambda: "database_away" in gateway.log("gateway"), "it is noticed")
    report = {"jobId": 1, "attemptNr": 1, "state": "running"}
    assert {pilot.http.post(UPDATE_JOB, json=report).status_code for _ in range(30)} == {503}
    services.start()
    gateway.wait_until_ready(60)
    assert pilot.post(GET_JOB, ASK)["StatusCode"] == 20


def test_deleted_queues_come_back_and_everything_is_accepted_meanwhile(
    gateway: Processes, pilot: Caller, database: Database, database_url: str, broker_url: str
) -> None:
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        connection.channel().queue_delete("watcher")
    report = {"jobId": 1, "attemptNr": 1, "state": "finished"}
    assert pilot.post(UPDATE_JOB, report)["command"] == "NULL"
    assert database.value("SELECT count(*) FROM request") == 1
    found: list[Any] = []

    def repeated() -> bool:
        assert pilot.post(UPDATE_JOB, report)["command"] == "NULL"
        with contextlib.suppress(ChannelClosedByBroker, ConnectionClosedByBroker):  # it is not all there yet
            found.extend(queued(broker_url, "watcher"))
        return bool(found)

    wait_until(repeated, "the queue is declared again")


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
