"""The one statement that keeps usual reports, held to the rule that judges all reports."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from gateway.access.identity import Identity
from gateway.access.policy import may_report
from panda_fsm.jobs.judgement import JobRow, Judgement, judge
from panda_fsm.jobs.plain import PLAIN_STATES, PlainReport, Taken, is_beat
from panda_fsm.jobs.states import State
from panda_fsm.messages import PilotReport, decode
from sql import requests
from sql.gateway_store import GatewayStore
from tests.driver import Database
from tests.gateway_stores import with_store
from tests.waiting_jobs import add_jobs

PILOT = Identity("iss", "pilot", "pilot")
STRANGER = Identity("iss", "stranger", "stranger")
HOLDERS = (PILOT.key, "someone", None)
BATCHES = (None, "a.b#1", "17")
LEFT_BY: tuple[list[str] | None, ...] = (None, [], ["node-9"])
SAID: list[dict[str, Any]] = [
    {"state": state, "attempt_nr": attempt, "attributes": {} if batch is None else {"batch_id": batch}}
    for state in ("running", "finished")
    for attempt in (None, 1, 2)
    for batch in (None, "a.b#1", "a.b#2", "17", 18)
]


def jobs(database_url: str) -> None:
    """One of each kind, of attempt 1; every other one is to be killed."""
    kinds = list(itertools.product(State, HOLDERS, BATCHES, LEFT_BY))
    add_jobs(database_url, range(1, len(kinds) + 1))
    update = """UPDATE job SET state = %s, holder = %s, pilot = jsonb_build_object('batch_id', %s::text), left_by = %s,
                node = 'node-1', command = CASE WHEN job_id %% 2 = 0 THEN 'tobekilled' END WHERE job_id = %s"""
    with psycopg.connect(database_url) as connection, connection.cursor() as cursor:
        cursor.executemany(update, [(*kind, number) for number, kind in enumerate(kinds, 1)])


async def kept(store: GatewayStore, identity: Identity) -> Iterator[tuple[JobRow, PilotReport, Taken | None]]:
    """Every kind of report on every kind of job, and what came of it."""
    known = await store.requests.jobs(range(1, 10_000))
    said: list[tuple[JobRow, PilotReport]] = [
        (job, PilotReport(job_id=job_id, **fields)) for job_id, job in known.items() for fields in SAID
    ]
    taken = await store.requests.keep_plain([PlainReport.of(report, identity.key) for _, report in said])
    return ((job, report, one) for (job, report), one in zip(said, taken, strict=True))


def is_usual(job: JobRow, report: PilotReport) -> bool:
    """What most reports are like."""
    batch_fits = report.attributes.get("batch_id") in (None, job.batch_id)
    return job.state in PLAIN_STATES and job.holder == PILOT.key and report.attempt_nr == 1 and batch_fits


def test_what_it_keeps_is_news_and_the_usual_is_kept(database_url: str, database: Database) -> None:
    jobs(database_url)

    async def scene(store: GatewayStore) -> list[Any]:
        messages = []
        for job, report, taken in await kept(store, PILOT):
            if taken is None:
                assert not is_usual(job, report) or job.left_by, (job, report)
                continue
            assert judge(report, job, may_report(PILOT, job)) is Judgement.NEWS, (job, report)
            assert (report.returns, taken.command) == (job.returns, job.command)
            assert taken.is_heartbeat == is_beat(report, job.state)
            if not taken.is_heartbeat:
                messages.append(report.message_id)
        assert {taken for _, _, taken in await kept(store, STRANGER)} == {None}
        return messages

    expected = with_store(database_url, scene)
    found = [decode(body.encode()) for (body,) in database.rows("SELECT body FROM request")]
    assert sorted(one.message_id for one in found) == sorted(expected)
    assert {getattr(one, "returns", None) for one in found} == {0}
    heard = database.rows("SELECT DISTINCT j.state FROM job_heard JOIN job j USING (job_id) ORDER BY 1")
    assert [state for (state,) in heard] == sorted(PLAIN_STATES)


@pytest.mark.parametrize(("states", "waits"), [(["running"], "off"), (["running", "finished"], "on")])
def test_only_news_waits_for_the_disk(database_url: str, states: list[Any], waits: str) -> None:
    """Heartbeats by themselves do not: the daemon gives grace after a crash."""
    add_jobs(database_url, range(1, 4), state="running", holder=PILOT.key)
    reports = [PilotReport(job_id=number, state=state) for number, state in enumerate(states, 1)]
    with psycopg.connect(database_url) as connection:
        connection.execute(
            requests._KEEP_PLAIN["stamp"], requests._plain([PlainReport.of(r, PILOT.key) for r in reports])
        )
        assert connection.execute("SHOW synchronous_commit").fetchone() == (waits,)
