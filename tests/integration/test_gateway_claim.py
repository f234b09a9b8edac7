"""The claim on a real database: best first, to one pilot only, never "none" while one waits, all written at once."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from typing import Any, TypeVar

import psycopg
import pytest

from gateway.claims import Claims
from lab.site import QUEUE
from panda_fsm.dispatch import Filters, Seat
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError, TransientError
from panda_fsm.events import JobEvent, decode, new_message_id
from panda_fsm.lifecycle import DEADLINES
from panda_fsm.states import State
from sql.gateway_store import GatewayStore
from sql.queries import load
from tests.driver import Database
from tests.waiting_jobs import add_jobs

Answer = TypeVar("Answer")


@pytest.fixture
def database(database_url: str) -> Iterator[Database]:
    """A connection to look with."""
    connection = Database(database_url)
    yield connection
    connection.close()


def seat(holder: str = "iss|pilot", **pilot: Any) -> Seat:
    """A place for one job."""
    return Seat(new_message_id(), holder, "node-1", pilot)


def seconds(state: State) -> int:
    """The table's deadlines."""
    return DEADLINES[state].seconds


def with_store(database_url: str, scene: Callable[[GatewayStore], Awaitable[Answer]]) -> Answer:
    """Play a scene with a store that is open."""

    async def play() -> Answer:
        store = GatewayStore(database_url, 8, 20, seconds)
        await store.open()
        try:
            return await scene(store)
        finally:
            await store.close()

    return asyncio.run(play())


def claimed(database_url: str, wanted: int = 1, **filters: Any) -> list[int]:
    """The ids that one claim gives."""

    async def scene(store: GatewayStore) -> list[int]:
        claim = await store.claim(Filters(QUEUE, **filters), [seat() for _ in range(wanted)])
        return [job.job_id for job in claim.jobs if job is not None]

    return with_store(database_url, scene)


def test_a_claim_writes_everything_at_once(database_url: str, database: Database) -> None:
    add_jobs(database_url, range(1, 3))
    one = seat(worker_id="77")

    async def scene(store: GatewayStore) -> None:
        claim = await store.claim(Filters(QUEUE), [one])
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


def test_best_first(database_url: str) -> None:
    for first, priority in ((1, 10), (11, 30), (21, 20)):
        add_jobs(database_url, range(first, first + 2), priority=priority)
    assert claimed(database_url, 5) == [11, 12, 21, 22, 1]


FITS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({"site": "OTHER"}, {}, False),
    ({"label": "managed"}, {"labels": ("managed", "test")}, True),
    ({"label": "managed"}, {"labels": ("user",)}, False),
    ({"min_ram": 4000}, {"memory": 4000}, True),
    ({"min_ram": 4001}, {"memory": 4000}, False),
    ({"min_ram": 0}, {"memory": 1}, True),
    ({"min_ram": 10**9}, {}, True),
    ({"max_disk": 501}, {"disk": 500}, False),
    ({"max_disk": 500}, {"disk": 500}, True),
    ({"max_walltime": 3601}, {"remaining_time": 3600}, False),
    ({"max_walltime": 0}, {"remaining_time": 60}, True),
    ({"core_count": 8}, {"core_count": 4}, False),
    ({"core_count": 8}, {"core_count": 8}, True),
    ({"resource_type": "MCORE"}, {"resource_type": "SCORE"}, False),
    ({"resource_type": "MCORE"}, {"resource_type": "MCORE"}, True),
    ({"task_id": 9}, {"task_id": 7}, False),
    ({"task_id": 9}, {"task_id": 9}, True),
    ({"user_name": "Jane"}, {"user_name": "John"}, False),
    ({"user_name": "Jane"}, {"user_name": "Jane"}, True),
]


def test_only_what_fits_is_handed_out(database_url: str) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        for job, filters, fits in FITS:
            add_jobs(database_url, range(1, 2), **job)
            assert claimed(database_url, **filters) == ([1] if fits else []), (job, filters)
            connection.execute("TRUNCATE job, job_spec, job_waiting, job_deadline, job_file, job_history, outbox")


def test_the_one_that_fits_is_found_behind_many_that_do_not(database_url: str) -> None:
    add_jobs(database_url, range(1, 3001), priority=5000, min_ram=64_000)
    add_jobs(database_url, range(9001, 9002), priority=1)
    assert claimed(database_url, 2, memory=2000) == [9001]


@pytest.mark.parametrize("lock", ["job_waiting", "job"])
def test_a_locked_job_is_skipped_and_known_to_wait(database_url: str, lock: str) -> None:
    add_jobs(database_url, range(1, 3))

    async def scene(store: GatewayStore) -> None:
        claim = await store.claim(Filters(QUEUE), [seat(), seat()])
        assert [job and job.job_id for job in claim.jobs] == [2, None]
        assert claim.more_waiting

    with psycopg.connect(database_url) as connection:
        connection.execute(f"SELECT FROM {lock} WHERE job_id = 1 FOR UPDATE".encode())
        with_store(database_url, scene)


class Silent:
    """A broker that is away: events stay in the outbox."""

    is_connected = False

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, message: Outgoing) -> None:
        raise NotPublishedError("away")


def test_a_job_that_is_locked_for_a_moment_is_waited_for(database_url: str) -> None:
    add_jobs(database_url, range(1, 2))

    async def scene(store: GatewayStore) -> None:
        locker = await psycopg.AsyncConnection.connect(database_url)
        async with locker:
            await locker.execute("SELECT FROM job WHERE job_id = 1 FOR UPDATE")
            asked = asyncio.create_task(Claims(store, Silent()).acquire(Filters(QUEUE), [seat()]))
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
        second = GatewayStore(database_url, 8, 20, seconds)
        await second.open()
        gateways = [Claims(store, Silent()), Claims(second, Silent())]
        got: dict[int, int] = {}
        await asyncio.gather(*(pilot(gateways[number % 2], number, got) for number in range(24)))
        for claims in gateways:
            await claims.drain()
        await second.close()
        return got

    got = with_store(database_url, scene)
    assert len(got) == 600
    holders = dict(database.rows("SELECT job_id, holder FROM job"))
    assert holders == {job_id: f"iss|{number}" for job_id, number in got.items()}
    assert database.value("SELECT count(*) FROM job_waiting") == 0
    assert database.value("SELECT count(*) FROM job_history") == 600
    assert database.value("SELECT count(*) FROM outbox") == 600, "the relay has them, the broker being away"


def test_the_index_finds_the_jobs_whatever_the_statistics_say(database_url: str) -> None:
    """A database that was never analysed, and yet: no sort of all that wait, no scan of a table."""
    add_jobs(database_url, range(1, 20_001))

    plan: list[str] = []

    async def scene(store: GatewayStore) -> str:
        parameters = [asdict(Filters(QUEUE, memory=1000)) | {"wanted": 1}, store._claim_parameters([1], [seat()])]
        async with store._connection() as connection:
            for query, values in zip(("pick", "claim"), parameters, strict=True):
                explained = await connection.execute("EXPLAIN " + load("gateway")[query], values)
                plan.extend(line for (line,) in await explained.fetchall())
        return "\n".join(plan)

    explained = with_store(database_url, scene)
    assert "Index Scan using job_waiting_order" in explained
    assert not re.search(r"Seq Scan on (?!job_transition)", explained), explained


def test_a_database_that_is_away_is_transient(database_url: str) -> None:
    away = database_url.rpartition("/")[0] + "/nothing"

    async def scene() -> None:
        store = GatewayStore(away, 2, 1, seconds)
        store._pool.timeout = 0.5
        await store.open()
        with pytest.raises(TransientError):
            await store.claim(Filters(QUEUE), [seat()])
        await store.close()

    asyncio.run(scene())
