"""What was given and reached nobody waits again: whoever gave up, whenever, and whoever looks at it meanwhile."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from gateway.work.claims import Claims
from gateway.work.publishing import Publishing
from lab.site import QUEUE
from panda_fsm.claims import Claim, Filters, Given, GivenBack
from panda_fsm.effects import Effects
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import JobEvent, decode, new_message_id
from sql.gateway_store import GatewayStore
from sql.store import PostgresStore
from tests.driver import Database
from tests.gateway_stores import Silent, acquire, given, seat, seated, with_store
from tests.inprocess import steps
from tests.waiting_jobs import add_jobs

LIMITS = TableLimits({}, {})
A, B = str(uuid4()), str(uuid4())
NOTHING = GivenBack([], frozenset())
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock' AND datname = current_database()"


_MUST_EQUAL = """
SELECT (j.state, j.version, j.holder, j.node, j.pilot, j.left_by, j.errors, j.waits_for, j.started_at,
        j.modified_at = j.state_changed_at, j.deadline_at - j.state_changed_at)::text,
    (SELECT d.deadline_at - j.state_changed_at FROM job_deadline d WHERE d.job_id = j.job_id),
    (SELECT array_agg((h.version, h.transition_id, h.service, h.host, h.detail, h.message_id IS NULL)::text
        ORDER BY h.version) FROM job_history h WHERE h.job_id = j.job_id),
    (SELECT (w.priority, w.label, w.resource_type, w.min_ram, w.max_disk, w.max_walltime, w.core_count, w.task_id,
        w.user_name, w.is_background)::text FROM job_waiting w WHERE w.job_id = j.job_id),
    (SELECT array_agg((c.state, c.vo, c.jobs)::text ORDER BY c.state, c.jobs) FROM job_count c WHERE c.site = j.site),
    (SELECT o.body FROM outbox o WHERE o.body::json ->> 'job_id' = j.job_id::text
        AND o.body::json ->> 'trigger' = 'undelivered')
FROM job j WHERE job_id = %s"""


@pytest.mark.parametrize(
    ("fields", "set_here"),
    [
        ({"is_background": True}, {State.ACTIVATED: 700}),
        ({"label": "managed"}, {State.SENT: 8 * 86400}),
        ({"label": "managed", "processing_type": "pmerge"}, {State.SENT: 8 * 86400}),
        ({"label": "managed", "processing_type": "pmerge", "no_reassign": True}, {State.SENT: 8 * 86400}),
    ],
)
def test_what_reached_nobody_is_taken_back_by_the_step_that_effects_make(
    database_url: str, database: Database, fields: dict[str, Any], set_here: dict[State, int]
) -> None:
    """Two jobs alike: one is given back, the other moved as services move jobs. The tables must show the same."""
    limits = TableLimits(set_here, {})
    for job_id, queue in ((1, "GIVEN"), (2, "STEPPED")):
        add_jobs(database_url, range(job_id, job_id + 1), site=queue, **fields)
    database.execute(
        "UPDATE job_spec s SET spec = jsonb_build_object('processing_type', processing_type)"
        " FROM job WHERE job.job_id = s.job_id"
    )

    async def scene(store: GatewayStore) -> None:
        taken = [(await store.claims.claim(Filters(queue), [seat(worker_id="7")])) for queue in ("GIVEN", "STEPPED")]
        job = taken[0].jobs[0]
        assert job is not None
        (event,) = (await store.claims.give_back([Given(seat(), job)])).events
        assert event.routing_key == "job.activated"

    with_store(database_url, scene, limits)
    store = PostgresStore(database_url, "gateway", 20, limits, 600)
    with store.transaction() as transaction:
        effects = Effects()
        job = transaction.load_locked([2], files=False, report=False)[2]
        effects.step(job, Trigger.UNDELIVERED, new_message_id(), None)
        transaction.write(effects)
    store.close()
    (*back, back_event), (*stepped, stepped_event) = (database.rows(_MUST_EQUAL, (n,))[0] for n in (1, 2))
    assert back == stepped
    one, other = (decode(body.encode()) for body in (back_event, stepped_event))
    own = {"message_id", "cause", "at", "job_id", "site"}
    assert isinstance(one, JobEvent)
    assert one.model_dump(exclude=own) == other.model_dump(exclude=own)


def test_a_job_is_not_taken_from_a_pilot_that_asked_again_or_spoke(database_url: str, database: Database) -> None:
    add_jobs(database_url, range(1, 4))

    async def scene(store: GatewayStore) -> None:
        lost = await given(store, seated(A))
        assert (await given(store, seated(A))).job == lost.job
        assert await store.claims.give_back([lost]) == NOTHING, "the second answer may have reached it"
        heard = await given(store, seated(None))
        await store.requests.hear([heard.job.job_id])
        assert await store.claims.give_back([heard]) == NOTHING
        gone = await given(store, seated(B))
        assert len((await store.claims.give_back([gone, gone])).events) == 1
        assert await store.claims.give_back([gone]) == NOTHING
        assert await acquire(store, seated(B)) == [3]

    with_store(database_url, scene)
    assert [event for _, event in steps(database, 3)] == ["acquired", "undelivered", "acquired"]
    assert database.rows("SELECT state, count(*) FROM job GROUP BY state") == [("sent", 3)]


def test_a_job_comes_back_although_somebody_looks_at_it(database_url: str, database: Database) -> None:
    """A claim that saw it wait locks it for a moment, in vain; passed over, it would be nobody's until a deadline."""
    add_jobs(database_url, range(1, 3))

    async def scene(store: GatewayStore) -> None:
        lost = [await given(store, seated(A)), await given(store, seated(B))]
        async with await psycopg.AsyncConnection.connect(database_url) as looking:
            await looking.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
            back = await store.claims.give_back(lost)
        assert [event.routing_key for event in back.events] == ["job.activated"]
        assert back.locked == {1}
        assert len((await store.claims.give_back(lost)).events) == 1

    with_store(database_url, scene)
    assert database.rows("SELECT DISTINCT state FROM job") == [("activated",)]


@pytest.mark.parametrize("trouble", ["gave up", "database away"])
def test_a_job_too_many_comes_back_whatever_becomes_of_its_claim(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch, trouble: str
) -> None:
    """Another gateway is just giving the same pilot a job."""
    add_jobs(database_url, range(1, 3))

    async def away(_groups: Any) -> Claim:
        raise TransientError("the database is away")

    async def scene(store: GatewayStore) -> None:
        monkeypatch.setattr(store.claims, "_claim_all", away)
        other = await psycopg.AsyncConnection.connect(database_url)
        await other.execute("INSERT INTO seat (place, job_id, version) VALUES (%s, 2, 1)", (A,))
        asking = asyncio.create_task(store.claims.claim(Filters(QUEUE), [seated(A)]))
        while not database.value(WAITS):
            await asyncio.sleep(0.01)
        if trouble == "gave up":
            asking.cancel()
        await other.commit()
        await other.close()
        if trouble == "gave up":
            with pytest.raises(asyncio.CancelledError):
                await asking
            return
        claim = await asking
        assert (claim.jobs, len(claim.held)) == ([None], 1), "nobody knows whether there is another"
        assert len((await store.claims.give_back(claim.doubled)).events) == 1

    with_store(database_url, scene)
    assert [event for _, event in steps(database, 1)] == ["acquired", "undelivered"]


def test_pilots_that_give_up_at_any_moment_hold_nothing(database_url: str, database: Database) -> None:
    """Before the claim, in the midst of any of its statements, in its commit, or after it."""
    add_jobs(database_url, range(1, 301))
    moments = random.Random(1)

    async def impatient(claims: Claims, patience_s: float | None) -> list[int]:
        place = str(uuid4()) if moments.random() < 0.5 else None
        asked = asyncio.create_task(claims.acquire(Filters(QUEUE), [seated(place, f"node-{patience_s is None}")]))
        if patience_s is not None:
            await asyncio.sleep(patience_s)
            asked.cancel()
        try:
            return [job.job_id for job in await asked]
        except asyncio.CancelledError:
            return []

    async def scene(store: GatewayStore) -> list[int]:
        behind = Publishing(Silent(), store.requests.leave)
        claims = Claims(store.claims, behind)
        got: list[int] = []
        for _ in range(60):
            some = range(moments.randint(1, 4))
            asking = [impatient(claims, None if n == 3 else moments.uniform(0, 0.02)) for n in some]
            got += [job_id for some in await asyncio.gather(*asking) for job_id in some]
        await claims.drain()
        await behind.drain()
        return got

    got = with_store(database_url, scene)
    sent = [job_id for (job_id,) in database.rows("SELECT job_id FROM job WHERE state = 'sent' ORDER BY job_id")]
    assert sent == sorted(got)
    assert database.value("SELECT count(*) FROM job_waiting") == 300 - len(got)
