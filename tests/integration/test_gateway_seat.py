"""The seat on a real database: the same job again, taken back when it reached nobody, out again when nobody spoke."""

from __future__ import annotations

import asyncio
import random
from typing import Any
from uuid import uuid4

import psycopg
import pytest

from consumers.watcher import Watcher
from gateway.work.claims import Claims
from gateway.work.publishing import Publishing
from lab.site import QUEUE
from panda_fsm.claims import Filters, Given, GivenBack, Seat
from panda_fsm.effects import Effects
from panda_fsm.jobs.appointments import archive_at
from panda_fsm.jobs.facts import HANDED_OUT_AGAIN, TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.messages import DeadlinePassed, JobEvent, decode, new_message_id
from sql.archive import Archive
from sql.gateway_store import GatewayStore
from sql.store import PostgresStore
from tests import factories
from tests.driver import Database
from tests.gateway_stores import Silent, seat, with_store
from tests.inprocess import Serve, steps
from tests.waiting_jobs import add_jobs

LIMITS = TableLimits({}, {})
A, B = str(uuid4()), str(uuid4())
NOTHING = GivenBack([], frozenset())


def seated(place: str | None, node: str = "node-1") -> Seat:
    """A seat of the pilot of this place."""
    return Seat(new_message_id(), "iss|pilot", node, {}, place)


async def acquire(store: GatewayStore, *seats: Seat, **filters: Any) -> list[int | None]:
    """The ids that one claim gives; what it gives back comes back, though somebody looks at it in that moment."""
    claim = await store.claims.claim(Filters(QUEUE, **filters), seats)
    while claim.doubled:
        locked = (await store.claims.give_back(claim.doubled)).locked
        claim.doubled = [one for one in claim.doubled if one.job.job_id in locked]
    return [None if job is None else job.job_id for job in claim.jobs]


async def given(store: GatewayStore, one: Seat) -> Given:
    """A job that is given to this seat."""
    (job,) = (await store.claims.claim(Filters(QUEUE), [one])).jobs
    assert job is not None
    return Given(one, job)


def test_a_pilot_that_asks_again_gets_the_same_job_with_all_that_is_to_be_known(
    database_url: str, database: Database
) -> None:
    add_jobs(database_url, range(1, 5))

    async def scene(store: GatewayStore) -> None:
        first, again = [(await store.claims.claim(Filters(QUEUE), [seated(A)])) for _ in range(2)]
        assert first.jobs == again.jobs
        assert (len(first.events), again.events) == (1, []), "nothing moves"
        assert await acquire(store, seated(B), seated(A), seated(None), seated(None)) == [2, 1, 3, 4]
        assert await acquire(store, seated(A), memory=1) == [1], "whatever else it asks for"
        assert await acquire(store, seated(None), seated(B)) == [None, 2]

    with_store(database_url, scene)
    assert [event for _, event in steps(database, 1)] == ["acquired"]
    assert database.value("SELECT count(*) FROM job_waiting") == 0


def test_once_it_was_heard_or_the_job_moved_on_the_pilot_gets_another_one(
    database_url: str, database: Database
) -> None:
    add_jobs(database_url, range(1, 4))

    async def scene(store: GatewayStore) -> None:
        assert await acquire(store, seated(A)) == [1]
        await store.requests.hear([1])  # its report is not handled yet
        assert await acquire(store, seated(A)) == [2]
        database.execute("UPDATE job SET state = 'cancelled', version = version + 1 WHERE job_id = 2")
        assert await acquire(store, seated(A)) == [3]

    with_store(database_url, scene)


def test_a_pilot_that_asks_twice_at_once_is_given_one_job(database_url: str, database: Database) -> None:
    """In one claim, and through two gateways: what is seen of its seat is looked at again when it is taken."""
    add_jobs(database_url, range(1, 200))

    async def scene(store: GatewayStore) -> None:
        first = await acquire(store, seated(A), seated(A), seated(B))
        assert first == [1, 1, 2]
        second = GatewayStore(database_url, 8, 20, LIMITS)
        await second.open()
        for _ in range(20):
            place = str(uuid4())
            found = await asyncio.gather(*(acquire(one, seated(place)) for one in (store, second, store, second)))
            assert len({job for jobs in found for job in jobs}) == 1
        await second.close()

    with_store(database_url, scene)
    assert database.value("SELECT count(*) FROM job WHERE state = 'sent'") == 22
    assert database.value("SELECT count(*) FROM job_waiting") == 199 - 22


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
    ("label", "set_here"), [("user", {State.ACTIVATED: 700}), ("managed", {State.SENT: 8 * 86400})]
)
def test_what_reached_nobody_is_taken_back_by_the_step_that_effects_make(
    database_url: str, database: Database, label: str, set_here: dict[State, int]
) -> None:
    """Two jobs alike: one is given back, the other moved as services move jobs. The tables must show the same."""
    limits = TableLimits(set_here, {})
    for job_id, queue in ((1, "GIVEN"), (2, "STEPPED")):
        add_jobs(database_url, range(job_id, job_id + 1), site=queue, label=label, is_background=label == "user")

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


def test_an_expired_claim_goes_to_another_pilot_a_few_times_and_then_fails(
    database_url: str, database: Database, serve: Serve
) -> None:
    add_jobs(database_url, range(1, 2))
    watcher = serve(Watcher(LIMITS))

    async def scene(store: GatewayStore) -> None:
        for number in range(HANDED_OUT_AGAIN + 1):
            assert await acquire(store, seated(A, f"node-{number}")) == [1]
            ((version, attempt),) = database.rows("SELECT version, attempt_nr FROM job")
            database.execute("UPDATE job SET deadline_at = now() - interval '1 s'")
            watcher.handle(DeadlinePassed(job_id=1, state=State.SENT, version=version))
            late = factories.report(1, "starting", attempt_nr=attempt, returns=number)
            watcher.handle(late)  # accepted while the job was still this pilot's

    with_store(database_url, scene)
    assert [event for _, event in steps(database, 1)] == [
        *["acquired", "unclaimed"] * HANDED_OUT_AGAIN,
        "acquired",
        "lost",
    ]
    assert database.rows("SELECT state, attempt_nr, errors -> 'job_dispatcher' ->> 'code', left_by FROM job") == [
        ("failed", 1, "102", [f"node-{number}" for number in range(HANDED_OUT_AGAIN)])
    ]
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_a_job_that_came_back_is_nobodys_and_waits(database_url: str, database: Database, serve: Serve) -> None:
    add_jobs(database_url, range(1, 2))

    async def scene(store: GatewayStore) -> None:
        await acquire(store, seated(A, "far"))
        database.execute("UPDATE job SET deadline_at = now() - interval '1 s'")
        serve(Watcher(LIMITS)).handle(DeadlinePassed(job_id=1, state=State.SENT, version=4))
        row = (await store.requests.jobs([1]))[1]
        assert (row.state, row.holder, row.node, row.left_by, row.returns) == (State.ACTIVATED, None, None, ["far"], 1)

    with_store(database_url, scene)
    assert database.rows("SELECT pilot, deadline_at - state_changed_at = interval '7 days' FROM job") == [(None, True)]
    assert database.value("SELECT array_agg(job_id) FROM job_waiting") == [1]
    assert dict(database.rows("SELECT state, sum(jobs)::int FROM job_count GROUP BY state")) == {
        "activated": 0,
        "sent": 0,
    }


def test_the_archive_takes_the_seats_with_the_jobs(database_url: str, database: Database) -> None:
    add_jobs(database_url, range(1, 3))

    async def scene(store: GatewayStore) -> None:
        assert await acquire(store, seated(A), seated(B)) == [1, 2]

    with_store(database_url, scene)
    past = "state = 'failed', ended_at = now(), deadline_at = now() - interval '1 s'"
    database.execute(f"UPDATE job SET {past} WHERE job_id = 1")  # noqa: S608
    database.execute("UPDATE job_deadline SET ended = true, deadline_at = now() - interval '1 s' WHERE job_id = 1")
    archive = Archive(database_url, 20)
    assert archive.keep(10, archive_at).gone == 1
    archive.close()
    assert database.value("SELECT array_agg(job_id) FROM seat") == [2]
