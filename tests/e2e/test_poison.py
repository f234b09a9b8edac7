"""Poison among good messages: kept among the dead letters with its reason, while the good ones flow on."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable
from typing import Any

import pika
import pytest

from panda_fsm.codes import Verdict
from panda_fsm.messages import EVENTS, REQUESTS, KillJob, OutputsAdded, ReleaseJobs
from tests import factories
from tests.driver import Driver
from tests.invariants import Listener, check_all, dead_letters, wait_for_end
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

JOBS = 200
ACTIVATED, PENDING, UNKNOWN = 1001, 1002, 9_999_999
ELSEWHERE = "LAB_A"
REPORT = factories.report(1, "running")


def changed(**fields: Any) -> bytes:
    """A good report with some fields made wrong."""
    return json.dumps(json.loads(REPORT.encode()) | fields).encode()


# Exchange, routing key, body, and what the dead letter says of it.
POISON: dict[str, tuple[str, str, bytes, str]] = {
    "garbage": (REQUESTS, "submit", b"\x00\xff\xfe garbage", "not a message of schema 2"),
    "nothing": (REQUESTS, "report.finished", b"", "not a message of schema 2"),
    "half a message": (REQUESTS, "report.running", REPORT.encode()[:-9], "not a message of schema 2"),
    "too deep": (REQUESTS, "kill", b"[" * 100_000, "not a message of schema 2"),
    "JSON of something else": (EVENTS, "job.holding", b'{"event_type": "transfer-done"}', "msg_type"),
    "negative job": (REQUESTS, "report.running", changed(job_id=-1), "job_id"),
    "number too big": (REQUESTS, "report.running", changed(job_id=2**63), "job_id"),
    "not with a pilot": (REQUESTS, "report.running", changed(job_id=ACTIVATED), "not possible in state activated"),
    "of another service": (
        EVENTS, "job.defined", OutputsAdded(job_id=ACTIVATED, version=1, verdict=Verdict.FINISHED).encode(),
        "setupper does not handle outputs_added",
    ),
    "text that no database takes": (REQUESTS, "report.finished", changed(output_report="\x00"), "output_report"),
}  # fmt: skip
# These are tried again for a while, because they may be good later: a minute, an hour, ten seconds.
IN_THE_END: dict[str, tuple[str, str, bytes, str]] = {
    "unknown job": (REQUESTS, "report.running", changed(job_id=UNKNOWN), f"unknown job {UNKNOWN}"),
    "unknown job killed": (REQUESTS, "kill", KillJob(job_id=UNKNOWN).encode(), f"unknown job {UNKNOWN}"),
    "one of many unknown": (
        REQUESTS, "release", ReleaseJobs(jobs=[PENDING, UNKNOWN]).encode(), f"unknown job {UNKNOWN}"
    ),
    "later schema": (REQUESTS, "report.running", changed(schema_version=3), "a message of a schema newer than 2"),
    "text that only the database refuses": (
        REQUESTS, "submit", factories.submit(factories.draft(UNKNOWN, spec={"a": "\x00"})).encode(),
        "UntranslatableCharacter",
    ),
}  # fmt: skip
LONG_AGO = 7200


def publish(broker_url: str, messages: Iterable[tuple[str, str, bytes]], **headers: str) -> None:
    """As somebody else's program might do it, with a header that no database takes."""
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        channel.confirm_delivery()
        properties = pika.BasicProperties(delivery_mode=2, headers={"sender": "a\x00b", **headers})
        for exchange, key, body in messages:
            channel.basic_publish(exchange, key, body, properties, mandatory=True)


def test_poison_is_kept_with_its_reason_and_good_messages_flow_on(
    engine: Processes, driver: Driver, listener: Listener, broker_url: str
) -> None:
    database = driver.database

    def wait_for(job_id: int, state: str) -> None:
        query = "SELECT state FROM job WHERE job_id = %s"
        wait_until(lambda: database.rows(query, (job_id,)) == [(state,)], f"job {job_id} {state}")

    driver.submit([factories.draft(ACTIVATED, site=ELSEWHERE)])
    driver.publish([factories.submit(factories.draft(PENDING, site=ELSEWHERE), to_pending=True)])
    wait_for(ACTIVATED, "activated")
    wait_for(PENDING, "pending")

    good = [factories.draft(job_id) for job_id in range(1, JOBS + 1)]
    driver.submit(good[: JOBS // 2], bunch=10)
    publish(broker_url, (bad[:3] for bad in POISON.values()))
    publish(broker_url, (bad[:3] for bad in IN_THE_END.values()), waiting_since=str(time.time() - LONG_AGO))
    driver.submit(good[JOBS // 2 :], bunch=10)
    with driver.pilots():
        wait_for_end(database, JOBS, timeout_s=20)
    poison = POISON | IN_THE_END
    wait_until(lambda: len(dead_letters(database)) >= len(poison), "the poison among the dead letters")

    letters = database.rows("SELECT payload, reason, exchange, routing_key FROM dead_letter")
    kept = {bytes(payload): tuple(rest) for payload, *rest in letters}
    for name, (_, key, body, reason) in poison.items():
        assert body in kept, name
        assert reason in kept[body][0], name
        assert kept[body][2] == key, name

    wait_for(PENDING, "activated")  # its release named an unknown job too
    kills = [KillJob(job_id=job_id, code=9).encode() for job_id in (ACTIVATED, PENDING)]
    newer = [json.dumps(json.loads(kill) | {"colour": "red"}).encode() for kill in kills]
    publish(broker_url, ((REQUESTS, "kill", kill) for kill in newer))  # fields that nobody knows are ignored
    ends = {draft.job_id: "finished" for draft in good}
    ends |= {ACTIVATED: "cancelled", PENDING: "cancelled"}
    wait_for_end(database, len(ends))
    check_all(database, broker_url, listener, ends, dead=len(poison))
