"""The claim on a real database: best first, to one pilot only, never "none" while one waits, all written at once."""

from __future__ import annotations

import asyncio

import psycopg
import pytest

from gateway.work.claims import Claims
from gateway.work.publishing import Publishing
from lab.site import QUEUE
from panda_fsm.claims import Filters
from panda_fsm.effects import Effects
from panda_fsm.jobs.facts import TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import JobEvent, decode, new_message_id
from sql import searches
from sql.gateway_store import GatewayStore
from sql.store import PostgresStore
from tests.driver import Database
from tests.gateway_stores import Silent, claimed, seat, with_store
from tests.waiting_jobs import add_jobs


def test_a_claim_writes_everything_at_once(database_url: str, database: Database) -> None:
    add_jobs(database_url, range(1, 3))
    one = seat(worker_id="77")

    async def scene(store: GatewayStore) -> None:
        claim = await store.claims.claim(Filters(QUEUE), [one])
        job = claim.jobs[0]
        assert job is not None
        assert (job.job_id, job.spec["transformation"], [f.lfn for f in job.files]) == (
            1, "http://x/trf/user/run", ["input.1", "output.1", "log.1"],
        )  # fmt: skip

    with_store(database_url, scene)
    assert database.rows(
        "SELECT state, version, holder, node, pilot, j.deadline_at - state_changed_at = interval '30 minutes',"
        " j.deadline_at = d.deadline_at FROM job j JOIN job_deadline d USING (job_id) WHERE job_id = 1"
    ) == [("sent", 4, "iss|pilot", "node-1", {"worker_id": "77"}, True, True)]
    assert database.value("SELECT array_agg(job_id) FROM job_waiting") == [2]
    assert database.rows(
        "SELECT job_id, version, event, source, h.service, message_id::text FROM job_history h"
        " JOIN job_transition t USING (transition_id)"
    ) == [(1, 4, "acquired", "activated", "gateway", one.cause)]
    assert database.rows("SELECT state, site, jobs FROM job_count ORDER BY state") == [
        ("activated", QUEUE, -1), ("sent", QUEUE, 1),
    ]  # fmt: skip
    event = decode(database.value("SELECT body FROM outbox").encode())
    assert isinstance(event, JobEvent)
    assert (event.job_id, event.version, event.state, event.previous, event.cause) == (
        1, 4, State.SENT, State.ACTIVATED, one.cause,
    )  # fmt: skip


_MUST_EQUAL = """
SELECT (j.state, j.version, j.attempt_nr, j.command, j.verdict, j.has_report, j.errors, j.waits_for, j.started_at,
        j.ended_at, j.modified_at = j.state_changed_at, j.deadline_at - j.state_changed_at)::text,
    (SELECT d.deadline_at - j.state_changed_at FROM job_deadline d WHERE d.job_id = j.job_id),
    (SELECT array_agg((h.version, h.transition_id, h.service, h.host, h.detail, h.message_id IS NULL)::text)
     FROM job_history h WHERE h.job_id = j.job_id),
    (SELECT count(*) FROM job_waiting w WHERE w.job_id = j.job_id),
    (SELECT array_agg((c.state, c.vo, c.jobs)::text ORDER BY c.state) FROM job_count c WHERE c.site = j.site),
    (SELECT array_agg((o.exchange, o.routing_key, o.headers)::text) FROM outbox o
     WHERE o.body::json ->> 'job_id' = j.job_id::text),
    (SELECT o.body FROM outbox o WHERE o.body::json ->> 'job_id' = j.job_id::text)
FROM job j WHERE job_id = %s"""


@pytest.mark.parametrize("front", [searches._FRONT, -2], ids=["in one statement", "by searches"])
def test_the_claim_makes_the_step_that_effects_make(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch, front: int
) -> None:
    """Two jobs alike: one is claimed, the other moved as services move jobs. What is in the tables must be the same."""
    monkeypatch.setattr(searches, "_FRONT", front)
    limits = TableLimits({State.SENT: 700}, {State.SENT: 300})
    for job_id, queue in ((1, "CLAIMED"), (2, "STEPPED")):
        add_jobs(database_url, range(job_id, job_id + 1), site=queue)
    database.rows("UPDATE job SET waits_for = 'something', modified_at = now() - interval '1 h' RETURNING 1")

    async def scene(store: GatewayStore) -> None:
        await store.claims.claim(Filters("CLAIMED"), [seat()])

    with_store(database_url, scene, limits)
    store = PostgresStore(database_url, "gateway", 20, limits, 600)
    with store.transaction() as transaction:
        effects = Effects()
        effects.step(
            transaction.load_locked([2], files=False, report=False)[2], Trigger.ACQUIRED, new_message_id(), None
        )
        transaction.write(effects)
    store.close()
    (*claimed, claimed_event), (*stepped, stepped_event) = (database.rows(_MUST_EQUAL, (n,))[0] for n in (1, 2))
    assert claimed == stepped
    one, other = (decode(body.encode()) for body in (claimed_event, stepped_event))
    own = {"message_id", "cause", "at", "job_id", "site"}
    assert one.model_dump(exclude=own) == other.model_dump(exclude=own)


def test_best_first(database_url: str) -> None:
    for first, priority in ((1, 10), (11, 30), (21, 20)):
        add_jobs(database_url, range(first, first + 2), priority=priority)
    assert claimed(database_url, 5) == [11, 12, 21, 22, 1]


def test_a_job_that_is_locked_for_a_moment_is_waited_for(database_url: str) -> None:
    add_jobs(database_url, range(1, 2))

    async def scene(store: GatewayStore) -> None:
        locker = await psycopg.AsyncConnection.connect(database_url)
        async with locker:
            await locker.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
            claims = Claims(store.claims, Publishing(Silent(), store.requests.leave))
            asked = asyncio.create_task(claims.acquire(Filters(QUEUE), [seat()]))
            done, _ = await asyncio.wait((asked,), timeout=0.1)
            assert not done
            await locker.rollback()
            assert [job.job_id for job in await asked] == [1]

    with_store(database_url, scene)


def test_no_job_is_handed_out_twice_and_none_is_left(database_url: str, database: Database) -> None:
    """Two gateways, each with many pilots that ask alike and not alike, while jobs of three priorities wait."""
    for first in (1, 1001, 2001):
        add_jobs(database_url, range(first, first + 200), priority=first)

    async def pilot(claims: Claims, number: int, got: dict[int, int]) -> None:
        filters = Filters(QUEUE, memory=2000 + number % 3)
        while jobs := await claims.acquire(filters, [seat(f"iss|{number}") for _ in range(1 + number % 4)]):
            for job in jobs:
                assert job.job_id not in got
                got[job.job_id] = number

    async def scene(store: GatewayStore) -> dict[int, int]:
        second = GatewayStore(database_url, 8, 20, TableLimits({}, {}))
        await second.open()
        behind = Publishing(Silent(), store.requests.leave)
        gateways = [Claims(store.claims, behind), Claims(second.claims, behind)]
        got: dict[int, int] = {}
        await asyncio.gather(*(pilot(gateways[number % 2], number, got) for number in range(24)))
        await behind.drain()
        await second.close()
        return got

    got = with_store(database_url, scene)
    assert len(got) == 600
    holders = dict(database.rows("SELECT job_id, holder FROM job"))
    assert holders == {job_id: f"iss|{number}" for job_id, number in got.items()}
    assert database.value("SELECT count(*) FROM job_waiting") == 0
    assert database.value("SELECT count(*) FROM job_history") == 600
    assert database.value("SELECT count(*) FROM outbox") == 600, "the relay has them, the broker being away"
