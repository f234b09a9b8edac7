"""The database stalls, clients lose patience and hang up: nothing is done for them when it goes on."""

from __future__ import annotations

import json
import socket

import psycopg

from lab.site import QUEUE
from tests.driver import Database
from tests.gateway_alone import everything, request
from tests.gateway_http import Caller
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

ACQUIRE, SUBMIT = "/api/v1/pilot/acquire_jobs", "/api/v1/job/submit"
ASK = json.dumps({"site_name": QUEUE, "prod_source_label": "user"}).encode()
JOBS = json.dumps({"jobs": [["NULL"] * 47 + [QUEUE] + ["NULL"] * 78 + [[]]]}).encode()
SENT = "SELECT count(*) FROM job WHERE state = 'sent'"
STALLED = "SELECT count(*) FROM pg_stat_activity WHERE application_name LIKE 'gateway%%' AND wait_event_type = 'Lock'"


def _ask(gateway: Processes, path: str, body: bytes) -> socket.socket:
    connection = socket.create_connection(("127.0.0.1", gateway.gateway_port), 60)
    connection.sendall(request("POST", path, body))
    return connection


def test_pilots_that_hang_up_are_given_no_jobs(processes: Processes, database: Database, database_url: str) -> None:
    processes.start("gateway", PANDA_FSM_STATEMENT_TIMEOUT_S="3")
    processes.wait_until_ready()
    add_jobs(database_url, range(1, 201))
    with psycopg.connect(database_url) as stalling:
        stalling.execute("LOCK TABLE job IN ACCESS EXCLUSIVE MODE")
        gone = [_ask(processes, ACQUIRE, ASK) for _ in range(120)]
        wait_until(lambda: database.value(STALLED) > 0, "a claim waits")
        for connection in gone:
            connection.close()
        wait_until(lambda: database.value(STALLED) == 0, "the claim was given up")
        patient = _ask(processes, ACQUIRE, ASK)
        wait_until(lambda: database.value(STALLED) > 0, "the next claim waits")
    with patient:
        assert b'"success":true' in everything(patient)
    wait_until(lambda: database.value(SENT) == 1, "only who is there has one")


def test_whoever_waits_too_long_is_told_and_given_nothing(
    processes: Processes, database: Database, database_url: str
) -> None:
    processes.start("gateway", PANDA_FSM_GATEWAY_WAIT_S="1")
    processes.wait_until_ready()
    add_jobs(database_url, range(1, 51))
    with psycopg.connect(database_url) as stalling:
        stalling.execute("LOCK TABLE job IN ACCESS EXCLUSIVE MODE")
        for connection in [_ask(processes, ACQUIRE, ASK) for _ in range(20)]:
            with connection:
                assert b" 503 " in everything(connection)
    pilot = Caller(processes.gateway_url, "pilot-1")
    assert pilot.post(ACQUIRE, json.loads(ASK))["success"]
    pilot.close()
    # The claim that was under way is finished, and what it gave to those who were told otherwise goes back.
    wait_until(
        lambda: database.value("SELECT count(*) FROM job WHERE state = 'sent'") == 1, "only who is there has one"
    )


def test_a_submission_of_somebody_who_hung_up_before_it_was_kept_is_not(
    gateway: Processes, user: Caller, database: Database, database_url: str
) -> None:
    with psycopg.connect(database_url) as stalling:
        stalling.execute("LOCK TABLE request IN ACCESS EXCLUSIVE MODE")
        first = _ask(gateway, SUBMIT, JOBS)
        wait_until(lambda: database.value(STALLED) > 0, "it is being kept")
        later = [_ask(gateway, SUBMIT, JOBS) for _ in range(5)]
        assert user.get("/livez") == {"status": "ok"}
        for connection in later:
            connection.close()
        assert user.get("/livez") == {"status": "ok"}
    with first:
        assert b" 200 " in everything(first)
    user.post(SUBMIT, json.loads(JOBS))
    assert database.value("SELECT count(*) FROM request WHERE routing_key = 'submit'") == 2
