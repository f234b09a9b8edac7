"""The search for a job that fits: right whatever waits, and never through all that waits where nothing fits."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest

from lab.site import QUEUE
from panda_fsm.claims import Filters
from sql import searches
from sql.gateway_store import GatewayStore
from tests.driver import Database
from tests.gateway_stores import claimed, seat, with_store
from tests.isolation import Databases
from tests.waiting_jobs import add_jobs

CROWD = 20_000
FRONT = searches._FRONT
READ_AT_MOST = 6 * FRONT
"""Of a crowd: what lies in front is read a few times, and a few hundred entries of the classes behind."""

FITS: list[tuple[dict[str, Any], dict[str, Any], bool]] = [
    ({}, {}, True),
    ({"site": "OTHER"}, {}, False),
    ({"label": "managed"}, {"labels": ("managed", "test")}, True),
    ({"label": "managed"}, {"labels": ("user",)}, False),
    ({"min_ram": 4000}, {"memory": 4000}, True),
    ({"min_ram": 4001}, {"memory": 4000}, False),
    ({"min_ram": 0}, {"memory": 1}, True),
    ({"min_ram": 10**9}, {}, True),
    ({"min_ram": 10**9}, {"memory": 10**12}, True),
    ({"max_disk": 501}, {"disk": 500}, False),
    ({"max_disk": 500}, {"disk": 500}, True),
    ({"max_walltime": 3601}, {"remaining_time": 3600}, False),
    ({"max_walltime": 0}, {"remaining_time": 60}, True),
    ({"core_count": 8}, {"core_count": 4}, False),
    ({"core_count": 8}, {"core_count": 8}, True),
    ({"core_count": 1}, {"too_few_cores": 1}, False),
    ({"core_count": 2}, {"too_few_cores": 1}, True),
    ({"core_count": 0}, {"too_few_cores": 1, "core_count": 8}, True),
    ({"core_count": 1, "task_id": 9}, {"too_few_cores": 1, "task_id": 9}, False),
    ({"resource_type": "MCORE"}, {"resource_type": "SCORE"}, False),
    ({"resource_type": "MCORE"}, {"resource_type": "MCORE"}, True),
    ({"task_id": 9}, {"task_id": 7}, False),
    ({"task_id": 9}, {"task_id": 9}, True),
    ({"task_id": 9, "min_ram": 4001}, {"task_id": 9, "memory": 4000}, False),
    ({"user_name": "Jane"}, {"user_name": "John"}, False),
    ({"user_name": "Jane"}, {"user_name": "Jane"}, True),
    ({"user_name": "Jane", "task_id": 9}, {"user_name": "Jane", "task_id": 9}, True),
    ({"user_name": "Jane", "task_id": 9}, {"user_name": "John", "task_id": 9}, False),
    ({"is_background": True}, {}, True),
    ({"is_background": True}, {"background": True}, True),
    ({}, {"background": True}, False),
    ({"is_background": True, "site": "OTHER"}, {"background": True}, False),
    ({"is_background": True, "task_id": 9}, {"background": True, "task_id": 9, "memory": 4000}, True),
    ({"is_background": True, "task_id": 9}, {"background": True, "task_id": 7}, False),
    ({"is_background": True, "user_name": "Jane"}, {"background": True, "user_name": "Jane"}, True),
    ({"is_background": True, "user_name": "Jane"}, {"background": True, "user_name": "John"}, False),
]


@pytest.mark.parametrize("front", [FRONT, -2], ids=["in front", "by classes"])
def test_only_what_fits_is_handed_out(database_url: str, monkeypatch: pytest.MonkeyPatch, front: int) -> None:
    monkeypatch.setattr(searches, "_FRONT", front)  # -2: with one wanted, the front is empty
    database = Database(database_url)

    async def scene(store: GatewayStore) -> None:
        for job, filters, fits in FITS:
            add_jobs(database_url, range(1, 2), **job)
            claim = await store.claims.claim(Filters(QUEUE, **filters), [seat()])
            assert (claim.jobs != [None]) == fits, (job, filters)
            database.execute("TRUNCATE job, job_spec, job_waiting, job_deadline, job_file, job_history, outbox")

    with_store(database_url, scene)
    database.close()


def test_the_one_that_fits_is_found_behind_many_that_do_not(database_url: str) -> None:
    add_jobs(database_url, range(1, 3 * FRONT), priority=5000, min_ram=64_000)
    add_jobs(database_url, range(9001, 9002), priority=1)
    assert claimed(database_url, 2, memory=2000) == [9001]


CHOICES: dict[str, tuple[Any, ...]] = {
    "label": ("user", "managed", "test"), "resource_type": ("", "SCORE", "MCORE"), "core_count": (0, 1, 8),
    "min_ram": (0, 1000, 4000), "max_walltime": (0, 600, 86_400), "max_disk": (0, 10, 500), "priority": (1, 2, 3),
    "task_id": (7, 8), "user_name": ("Jane", "John"), "is_background": (False, True),
}  # fmt: skip
ASKED: dict[str, tuple[Any, ...]] = {
    "labels": (None, ("user",), ("managed", "test")), "resource_type": (None, None, "SCORE"),
    "core_count": (None, 1, 8), "memory": (None, 999, 4000), "remaining_time": (None, 600, 3600),
    "disk": (None, 10, 400), "task_id": (None, None, 7), "user_name": (None, None, "Jane"),
    "background": (False, False, True), "too_few_cores": (0, 0, 1),
}  # fmt: skip


def fitting(jobs: list[dict[str, Any]], asked: dict[str, Any]) -> list[int]:
    """The rule in Python: which jobs fit, best first."""
    above = {"core_count": "core_count", "memory": "min_ram", "remaining_time": "max_walltime", "disk": "max_disk"}
    equal = ("resource_type", "task_id", "user_name")
    found = [
        job
        for job in jobs
        if (asked["labels"] is None or job["label"] in asked["labels"])
        and (job["is_background"] or not asked["background"])
        and not 1 <= job["core_count"] <= asked["too_few_cores"]
        and all(asked[name] is None or job[name] == asked[name] for name in equal)
        and all(asked[name] is None or job[need] <= asked[name] for name, need in above.items())
    ]
    return [job["job_id"] for job in sorted(found, key=lambda job: (-job["priority"], job["job_id"]))]


@pytest.mark.parametrize(("front", "classes"), [(5, 200), (5, 6), (0, 3)])
def test_every_search_finds_the_same_as_the_rule(
    database_url: str, monkeypatch: pytest.MonkeyPatch, front: int, classes: int
) -> None:
    """Whichever search comes to the jobs: a short front, few classes to visit, and at last all that wait."""
    monkeypatch.setattr(searches, "_FRONT", front)
    monkeypatch.setattr(searches, "_CLASSES", classes)
    monkeypatch.setattr(searches, "_SPARE", 1)
    dice = random.Random(front * 1000 + classes)
    jobs = [{name: dice.choice(values) for name, values in CHOICES.items()} | {"job_id": n} for n in range(1, 121)]
    add_jobs(database_url, range(1, 121))
    columns = ", ".join(f"{name} = r.{name}" for name in CHOICES)

    async def scene(store: GatewayStore) -> None:
        left = list(jobs)
        for _ in range(40):
            asked = {name: dice.choice(values) for name, values in ASKED.items()}
            wanted = dice.randint(1, 4)
            claim = await store.claims.claim(Filters(QUEUE, **asked), [seat() for _ in range(wanted)])
            got = [job.job_id for job in claim.jobs if job is not None]
            assert got == fitting(left, asked)[:wanted], asked
            assert not claim.more_waiting
            left = [job for job in left if job["job_id"] not in got]

    with psycopg.connect(database_url) as connection:
        connection.execute(
            f"UPDATE job_waiting w SET {columns} FROM json_populate_recordset(NULL::job_waiting, %s) r"  # noqa: S608
            " WHERE w.job_id = r.job_id".encode(),
            (json.dumps(jobs),),
        )
    with_store(database_url, scene)


@pytest.mark.parametrize("way", ["front", "classes", "task", "all"])
def test_locked_jobs_are_skipped_by_every_search_and_known_to_wait(
    database_url: str, monkeypatch: pytest.MonkeyPatch, way: str
) -> None:
    """Even where more of the best are locked than a search may leave out, the first free one is found."""
    if way != "front":
        monkeypatch.setattr(searches, "_FRONT", -2)
    monkeypatch.setattr(searches, "_SPARE", 1 if way == "all" else 100)
    add_jobs(database_url, range(1, 5))
    filters = Filters(QUEUE, task_id=7 if way == "task" else None)

    async def scene(store: GatewayStore) -> None:
        claim = await store.claims.claim(filters, [seat()])
        assert [job and job.job_id for job in claim.jobs] == [4]
        claim = await store.claims.claim(filters, [seat()])
        assert (claim.jobs, claim.more_waiting) == ([None], {filters})

    with psycopg.connect(database_url) as connection:
        connection.execute("SELECT FROM job WHERE job_id < 4 FOR UPDATE")
        with_store(database_url, scene)


@pytest.fixture(scope="module")
def crowd(databases: Databases) -> Iterator[str]:
    """A database in which many jobs wait that are all alike."""
    with databases.fresh() as url:
        add_jobs(url, range(1, CROWD + 1))
        yield url


def count_at_once(database: Database) -> None:
    """What this connection has read is counted now: the server would do it later, while something else is measured."""
    database.value("SELECT pg_stat_force_next_flush()")


async def read_by_claim(store: GatewayStore, database: Database, filters: Filters, wanted: int = 1) -> int:
    """Index entries and rows of waiting jobs, and of jobs, that a claim reads, as the server counts them."""
    query = """SELECT (SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname IN ('job_waiting', 'job'))
                    + (SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE relname IN ('job_waiting', 'job'))"""
    before = database.value(query)
    claim = await store.claims.claim(filters, [seat() for _ in range(wanted)])
    assert not claim.more_waiting
    async with store.claims._pool.connection() as connection:
        await connection.execute("SELECT pg_stat_force_next_flush()")
    return int(database.value(query) - before)


NOTHING_FITS: list[dict[str, Any]] = [
    {"labels": ("managed", "test")}, {"memory": 50}, {"disk": 5}, {"remaining_time": 60}, {"core_count": 0},
    {"resource_type": "MCORE"}, {"task_id": 9}, {"user_name": "Nobody"}, {"task_id": 7, "memory": 50},
    {"user_name": "Owner", "disk": 5}, {"labels": ("user",), "memory": 50, "disk": 5, "remaining_time": 60},
    {"background": True}, {"background": True, "task_id": 7, "user_name": "Owner"},
]  # fmt: skip


@pytest.mark.parametrize("knowledge", ["never analysed", "analysed"])
def test_a_claim_that_nothing_fits_does_not_read_all_that_wait(crowd: str, knowledge: str) -> None:
    """Nor one that fits: whatever the planner knows of the crowd."""
    database = Database(crowd)
    if knowledge == "analysed":
        database.execute("VACUUM ANALYZE job_waiting, job")
    count_at_once(database)

    async def scene(store: GatewayStore) -> None:
        for asked in NOTHING_FITS:
            assert await read_by_claim(store, database, Filters(QUEUE, **asked)) <= READ_AT_MOST, asked
        for asked in ({}, {"task_id": 7}, {"user_name": "Owner"}, {"memory": 4000, "labels": ("user",)}):
            read = await read_by_claim(store, database, Filters(QUEUE, **asked))
            assert read <= 10 * (searches._SPARE if asked.keys() & {"task_id", "user_name"} else 1), asked
        assert await read_by_claim(store, database, Filters(QUEUE), 50) <= 50 * 10

    with_store(crowd, scene, connections=1)
    database.close()


def test_classes_that_are_too_much_are_passed_over_in_one_step(crowd: str) -> None:
    """A crowd in which hardly two jobs are alike: of those that need too much memory one is read."""
    database = Database(crowd)
    database.execute("UPDATE job_waiting SET min_ram = 4000 + job_id % 500, max_disk = 100 + job_id % 700")
    database.execute("VACUUM job_waiting")
    count_at_once(database)

    async def scene(store: GatewayStore) -> None:
        for asked in ({"memory": 3999}, {"labels": ("managed",)}, {"resource_type": "MCORE"}, {"core_count": 0}):
            read = await read_by_claim(store, database, Filters(QUEUE, **asked))
            assert read <= READ_AT_MOST, asked

    with_store(crowd, scene, connections=1)
    database.close()
