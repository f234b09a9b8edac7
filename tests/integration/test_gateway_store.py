"""The gateway's store: kept all or none, heard in any order, a pulse with its grace, and no database for a while."""

from __future__ import annotations

import asyncio
import random
from typing import Any

import psycopg
import pytest

from lab.services import Services
from panda_fsm.claims import Filters
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError
from panda_fsm.jobs.facts import HEARTBEAT_PERIOD_S, TableLimits
from panda_fsm.messages import KillJob
from sql import requests
from sql.gateway_store import GatewayStore
from sql.pool import Pool
from tests.driver import Database
from tests.gateway_stores import seat, with_store
from tests.waiting_jobs import add_jobs


def kill(job_id: int, **fields: Any) -> Outgoing:
    """A request."""
    return Outgoing.of(KillJob(job_id=job_id, **fields))


def test_requests_are_kept_all_or_none_with_who_was_heard(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However many statements it takes; the last one fails in the database here."""
    monkeypatch.setattr(requests, "_STATEMENT_BYTES", 300)
    good = [kill(number) for number in range(1, 6)]
    bad = Outgoing("not-a-uuid", "panda.requests", "kill", b"{}")

    async def scene(store: GatewayStore) -> None:
        with pytest.raises(psycopg.Error):
            await store.requests.keep([*good, bad], [1, 2])
        assert database.value("SELECT (SELECT count(*) FROM request) + (SELECT count(*) FROM job_heard)") == 0
        await store.requests.keep(good, [2, 1, 2])
        await store.requests.keep(good, [])

    with_store(database_url, scene)
    assert sorted(database.rows("SELECT message_id::text FROM request")) == sorted((one.message_id,) for one in good)
    assert database.rows("SELECT job_id FROM job_heard ORDER BY 1") == [(1,), (2,)]
    assert database.value("SELECT count(*) FROM request WHERE sent_at = accepted_at") == 5, "the relay waits a minute"


def test_the_last_time_a_pilot_was_heard_only_grows(database_url: str, database: Database) -> None:
    async def scene(store: GatewayStore) -> None:
        await store.requests.hear([3, 1, 3])
        later = database.value("SELECT max(heard_at) FROM job_heard")
        await store.requests.hear([1])
        assert database.value("SELECT heard_at FROM job_heard WHERE job_id = 1") > later
        database.rows("UPDATE job_heard SET heard_at = now() + interval '1 h' WHERE job_id = 3 RETURNING 1")
        await store.requests.keep([kill(3)], [3])
        assert database.value("SELECT heard_at > now() + interval '59 min' FROM job_heard WHERE job_id = 3")

    with_store(database_url, scene)


def test_many_who_stamp_the_same_jobs_never_wait_in_a_circle(database_url: str) -> None:
    dice = random.Random(1)

    async def stamp(store: GatewayStore) -> None:
        for _ in range(20):
            heard = [dice.randint(1, 40) for _ in range(30)]
            if dice.random() < 0.5:
                await store.requests.hear(heard)
            else:
                await store.requests.keep([kill(number) for number in heard], heard)

    async def scene(store: GatewayStore) -> None:
        await asyncio.gather(*(stamp(store) for _ in range(6)))

    with_store(database_url, scene)


def test_after_a_time_without_any_gateway_there_is_grace(database_url: str, database: Database) -> None:
    grace = "SELECT extract(epoch FROM grace_until - now()) FROM pulse WHERE name = 'gateway'"

    async def scene(store: GatewayStore) -> None:
        async def tick() -> float:
            await store.requests.tick("gateway", HEARTBEAT_PERIOD_S)
            return float(database.value(grace))

        assert await tick() < 0, "the first tick ever: nobody was handed a job before"
        assert await tick() < 0
        for ago, granted in (("59 s", False), ("61 s", True), ("1 s", True)):
            database.rows(f"UPDATE pulse SET ticked_at = now() - interval '{ago}' RETURNING 1")  # noqa: S608
            left = await tick()
            assert (HEARTBEAT_PERIOD_S - 60 < left <= HEARTBEAT_PERIOD_S) == granted, ago

    with_store(database_url, scene)


def test_archived_jobs_are_found_by_the_month_they_ended_in(database_url: str, database: Database) -> None:
    """One partition is looked into, however many months the archive has."""
    add_jobs(database_url, range(1, 3), state="finished", holder="h")
    for statement in (
        "SELECT ensure_partitions(now() - make_interval(months => m)) FROM generate_series(1, 12) m",
        "UPDATE job SET ended_at = now() - interval '3 months' WHERE job_id = 1",
        "UPDATE job SET ended_at = now() WHERE job_id = 2",
        "INSERT INTO job_ended SELECT job_id, ended_at FROM job",
        "INSERT INTO job_archive SELECT * FROM job",
        "INSERT INTO job_spec_archive SELECT s.*, j.ended_at FROM job_spec s JOIN job j USING (job_id)",
        "INSERT INTO job_file_archive SELECT (jsonb_populate_record(NULL::job_file_archive,"
        " to_jsonb(f) || jsonb_build_object('ended_at', j.ended_at))).* FROM job_file f JOIN job j USING (job_id)",
        "TRUNCATE job, job_spec, job_file",
    ):
        database.execute(statement)
    scans = "SELECT sum(idx_scan) FROM pg_stat_user_tables WHERE relname ~ '^job_(file_|spec_)?archive'"

    async def scene(store: GatewayStore) -> None:
        before = database.value(scans)
        assert {job.state for job in (await store.requests.jobs([1, 2, 3])).values()} == {"finished"}
        described = await store.reads.describe([1, 2, 3])
        assert {job_id: len(job.files) for job_id, job in described.items()} == {1: 3, 2: 3}
        for pool in (store.requests._pool, store.reads._pool):
            await pool.execute("SELECT pg_stat_force_next_flush()")
            await pool.execute("SELECT 1")  # then it is told
        assert database.value(scans) - before == 2 * 4, "job, and job with its spec and files, of each of two jobs"

    with_store(database_url, scene, connections=1)


def test_a_database_that_is_away_is_transient_at_once_and_found_again_unasked(
    database_url: str, services: Services
) -> None:
    async def until(is_away: bool, pool: Pool) -> None:
        async with asyncio.timeout(30):
            while pool._is_away is not is_away:
                await asyncio.sleep(0.02)

    async def scene() -> None:
        store = GatewayStore(database_url, 4, 20, TableLimits({}, {}))
        await store.open()
        pool = store.claims._pool
        await store.claims.claim(Filters("Q"), [seat()])
        services.postgres.kill()
        told = ""
        while "is away" not in told:
            with pytest.raises(TransientError) as refused:
                await store.claims.claim(Filters("Q"), [seat()])
            told = str(refused.value)
            assert "couldn't get a connection" not in told, "whoever waited for one was told when it was known"
        await until(True, pool)
        waiting = pool._pool.get_stats().get("requests_queued", 0)
        with pytest.raises(TransientError, match="away"):
            await store.claims.claim(Filters("Q"), [seat()])
        assert pool._pool.get_stats().get("requests_queued", 0) == waiting, "nobody waits for a connection"
        await asyncio.to_thread(services.postgres.start)
        await until(False, pool)
        assert (await store.claims.claim(Filters("Q"), [seat()])).jobs == [None]
        await store.close()

    asyncio.run(scene())
