"""What pilots really send, over HTTP: strange characters, long texts, queries, reports without an attempt."""

from __future__ import annotations

import gzip
import json
from typing import Any

import pytest

from gateway.wire.pilot_report import MAX_METADATA
from tests.driver import Database
from tests.gateway_http import Caller, received
from tests.integration.test_gateway_pilots import ASK, GET_JOB, UPDATE_JOB
from tests.waiting_jobs import add_jobs

ACCEPTED = {"StatusCode": 0, "command": "NULL"}
METADATA = "x" * 20_000_000


@pytest.fixture
def taken(pilot: Caller, database_url: str) -> Caller:
    """A pilot that has job 1, at its first attempt."""
    add_jobs(database_url, range(1, 2))
    assert pilot.post(GET_JOB, ASK)["PandaID"] == 1
    return pilot


BODIES: dict[str, tuple[bytes, dict[str, str]]] = {
    "half a surrogate pair": (rb'{"jobId": 1, "state": "running", "attemptNr": 1, "stdout": "a\udcffb"}', {}),
    "no UTF-8 in JSON": (b'{"jobId": 1, "state": "running", "attemptNr": 1, "stdout": "a\xffb"}', {}),
    "no UTF-8 in a form": (b"jobId=1&state=running&attemptNr=1&stdout=a%FFb&pilotErrorDiag=%00", {}),
    "an attempt that is none": (b'{"jobId": 1, "state": "running", "attemptNr": "NULL"}', {}),
    "an object for a text": (b'{"jobId": 1, "state": "running", "attemptNr": null, "metaData": {"a": [1]}}', {}),
}


@pytest.mark.parametrize("case", BODIES)
def test_a_report_is_taken_however_it_is_written(taken: Caller, broker_url: str, case: str) -> None:
    body, headers = BODIES[case]
    answer = taken.http.post(UPDATE_JOB, content=body, headers=headers)
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)
    (report,) = received(broker_url, "watcher", 1)
    assert report.attributes.get("stdout") in (None, "a\N{REPLACEMENT CHARACTER}b")


def test_a_report_may_come_as_a_query(taken: Caller, broker_url: str) -> None:
    assert taken.get(UPDATE_JOB, jobId=1, state="starting", attemptNr=1) == ACCEPTED
    assert received(broker_url, "watcher", 1)[0].state == "starting"


@pytest.mark.parametrize("packed", [False, True])
def test_long_metadata_are_cut_and_the_last_words_taken(taken: Caller, broker_url: str, packed: bool) -> None:
    body = json.dumps({"jobId": 1, "state": "finished", "attemptNr": 1, "xml": "{}", "metaData": METADATA}).encode()
    answer = taken.http.post(UPDATE_JOB, content=gzip.compress(body, 1) if packed else body)
    assert (answer.status_code, answer.json()) == (200, ACCEPTED)
    (report,) = received(broker_url, "watcher.large", 1)
    assert len(report.attributes["metadata"]) == MAX_METADATA


def test_an_update_from_another_batch_is_told_to_stop_and_noted(
    taken: Caller, database: Database, broker_url: str
) -> None:
    database.rows("""UPDATE job SET state = 'running', pilot = '{"batch_id": "a.b#1"}' RETURNING 1""")
    report: dict[str, Any] = {"jobId": 1, "state": "running", "attemptNr": 1, "batchID": "a.b#2", "maxRSS": 5}
    assert taken.post(UPDATE_JOB, report)["command"] == "tobekilled"
    (note,) = received(broker_url, "watcher.heartbeats", 1)
    assert (note.foreign_batch, note.attributes) == (True, {"batch_id": "a.b#2"})
    assert taken.post(UPDATE_JOB, report | {"batchID": "a.b#1"}) == ACCEPTED
