"""The seat on a real database: the same job again, and out again when nobody spoke."""

from __future__ import annotations

import asyncio
from uuid import uuid4

from consumers.watcher import Watcher
from lab.site import QUEUE
from panda_fsm.claims import Filters
from panda_fsm.jobs.appointments import archive_at
from panda_fsm.jobs.facts import HANDED_OUT_AGAIN, TableLimits
from panda_fsm.jobs.states import State
from panda_fsm.messages import DeadlinePassed
from sql.archive import Archive
from sql.duty import WorkerSession
from sql.gateway_store import GatewayStore
from tests import factories
from tests.driver import Database
from tests.gateway_stores import acquire, seated, with_store
from tests.inprocess import Serve, steps
from tests.waiting_jobs import add_jobs

LIMITS = TableLimits({}, {})
A, B = str(uuid4()), str(uuid4())


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
    archive = Archive(WorkerSession(database_url, 20))
    assert archive.keep(10, archive_at).gone == 1
    archive.close()
    assert database.value("SELECT array_agg(job_id) FROM seat") == [2]
