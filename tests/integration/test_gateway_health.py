"""Readiness with its reason, readers that starve nobody, and back at once when the database is."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from command.compose import GATEWAY, NAMES
from lab.services import Services
from lab.site import QUEUE
from panda_fsm.errors import TransientError
from sql import pool
from sql.connections import session
from sql.migrate import latest
from tests import faults
from tests.driver import Database
from tests.gateway_http import Caller
from tests.gateway_stores import with_store
from tests.polling import wait_until
from tests.processes import Processes
from tests.proxy import Proxy
from tests.waiting_jobs import add_jobs

GET_JOB, UPDATE_JOB = "/server/panda/getJob", "/server/panda/updateJob"
ASK = {"siteName": QUEUE, "prodSourceLabel": "user", "mem": 24105.56, "diskSpace": 20000, "node": "vm"}
REPORT = {"jobId": 1, "attemptNr": 1, "state": "finished"}
SERVICES = [name for name in NAMES if name != GATEWAY]


def readiness(caller: Caller) -> tuple[int, Any]:
    """All of it."""
    answer = caller.http.get("/readyz", params={"verbose": ""})
    return answer.status_code, answer.json()


def show(database: Database, service: str, trouble: str | None = None, silent_s: int = 0) -> None:
    """A process as it shows itself."""
    database.execute(
        "INSERT INTO process (service, host, pid, started_at, seen_at, trouble)"
        " VALUES (%s, 'h', (random() * 1e9)::int, now(), now() - make_interval(secs => %s), %s)",
        (service, silent_s, trouble),
    )


def test_a_queue_that_nobody_serves_is_told_and_the_gateway_is_ready_all_the_same(
    pilot: Caller, database: Database
) -> None:
    status, found = readiness(pilot)
    assert (status, found["status"], found["accepts"]) == (200, "degraded", "everything")
    assert found["consumers"] == f"nobody serves {', '.join(SERVICES)}"
    assert {found[part] for part in ("database", "broker", "schema", "gateway")} == {"ok"}
    for service in SERVICES:
        show(database, service)
    assert readiness(pilot) == (200, found | {"status": "ok", "consumers": "ok"})
    assert pilot.get("/readyz") == {"status": "ok"}
    database.execute("DELETE FROM process WHERE service IN ('adder', 'closer')")
    show(database, "adder", trouble="no consumer")
    show(database, "closer", silent_s=21)
    assert readiness(pilot)[1]["consumers"] == "nobody serves closer; adder: no consumer"
    show(database, "adder")
    show(database, "closer")
    assert readiness(pilot)[1]["status"] == "ok", "another process does the work"


def test_a_blocked_broker_is_told_and_everything_is_accepted(
    gateway: Processes, services: Services, pilot: Caller, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 3), state="running", holder=pilot.key)
    with faults.memory_alarm(services.rabbitmq):

        def told() -> Any:
            assert pilot.post(UPDATE_JOB, REPORT)["command"] == "NULL"
            status, found = readiness(pilot)
            return found if status == 503 else None

        found = wait_until(told, "it is told")
        assert found["status"] == "not ready"
        assert found["broker"].startswith("blocked: ")
        assert "memory" in found["broker"]
        assert found["accepts"] == "everything; it is done once the broker is back"
        began = time.monotonic()
        assert pilot.post(UPDATE_JOB, REPORT | {"jobId": 2})["command"] == "NULL"
        assert time.monotonic() - began < 5, "nobody waits for the broker"
    wait_until(lambda: readiness(pilot)[0] == 200, "it is well again")


def test_why_the_broker_is_away_is_told(processes: Processes, broker_url: str) -> None:
    processes.start("gateway", PANDA_FSM_BROKER_URL=broker_url.replace("panda:", "panda:wrong-"))
    with closing(Caller(processes.gateway_url)) as caller:

        def told() -> Any:
            try:
                _, found = readiness(caller)
            except httpx.TransportError:
                return None
            return "refused" in found["broker"].lower() and found

        assert wait_until(told, "the reason")["broker"].startswith("away: ")


def test_without_a_schema_it_is_not_ready_and_fails_nothing(
    run_dir: Path, empty_database_url: str, broker_url: str
) -> None:
    running = Processes(run_dir, empty_database_url, broker_url)
    try:
        running.start("gateway")
        with closing(Caller(running.gateway_url)) as caller:
            wait_until(lambda: _answers(caller), "it serves")
            status, found = readiness(caller)
            assert (status, found["accepts"], found["database"]) == (503, "nothing", "ok")
            assert found["schema"] == f"none, needed: {latest()}: run panda-fsm migrate"
            for path, ask in ((UPDATE_JOB, REPORT), ("/api/v1/job/kill", {"job_ids": [1]})):
                assert caller.http.post(path, json=ask).status_code == 503
        assert "request_failed" not in running.log("gateway")
    finally:
        running.close()


def _answers(caller: Caller) -> bool:
    try:
        return caller.http.get("/livez").status_code == 200
    except httpx.TransportError:
        return False


def test_a_gateway_told_to_end_says_so(gateway: Processes, pilot: Caller) -> None:
    with ThreadPoolExecutor(1) as pool:
        ending = pool.submit(gateway.stop, "gateway")
        found = wait_until(lambda: (f := readiness(pilot)[1])["status"] == "not ready" and f, "it says so")
        assert found["gateway"].startswith("draining")
        ending.result()


def test_readers_keep_nobody_waiting_and_are_told_to_ask_for_less(
    gateway: Processes, pilot: Caller, database_url: str
) -> None:
    """Sixteen of them wait for a table that somebody holds: pilots and readiness have connections of their own."""
    add_jobs(database_url, range(1, 21))
    with psycopg.connect(database_url) as holder, ThreadPoolExecutor(16) as pool:
        holder.execute("LOCK TABLE job_archive, job_ended IN ACCESS EXCLUSIVE MODE")

        def read(number: int) -> httpx.Response:
            with closing(Caller(gateway.gateway_url, f"reader-{number}")) as reader:
                if number % 2:
                    return reader.http.get("/api/v1/statistics/job_states", params={"task_id": 7})
                return reader.http.post("/api/v1/job/get_description", json={"job_ids": [10**12]})

        reading = [pool.submit(read, number) for number in range(16)]
        with psycopg.connect(database_url, autocommit=True) as looking:
            waits = "SELECT count(*) >= 2 FROM pg_locks WHERE relation = 'job_archive'::regclass AND NOT granted"
            wait_until(lambda: looking.execute(waits).fetchone() == (True,), "they wait")
        for _ in range(20):
            assert pilot.post(GET_JOB, ASK)["StatusCode"] == 0
            assert readiness(pilot)[0] == 200
        assert not all(one.done() for one in reading)
        answers = [one.result() for one in reading]
        assert {answer.status_code for answer in answers} == {503}
        assert any("ask for less" in answer.json()["message"] for answer in answers)


def test_too_much_to_be_described_at_once_is_refused(user: Caller, database: Database, database_url: str) -> None:
    add_jobs(database_url, range(1, 71), owner=user.key)
    database.execute("UPDATE job_spec SET spec = jsonb_build_object('jobParameters', repeat('x', 1000000))")
    refused = user.http.post("/api/v1/job/get_description", json={"job_ids": list(range(1, 71))})
    assert (refused.status_code, "fewer" in refused.json()["message"]) == (413, True)
    described = user.post("/api/v1/job/get_description", {"job_ids": [3, 10**12, 1]})["data"]
    assert [job and job["PandaID"] for job in described] == [3, None, 1]


def test_hops_are_taken_of_the_newest_jobs(
    database_url: str, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sql.reads._HOPS_OF", 3)
    add_jobs(database_url, range(1, 11))
    database.execute(
        "INSERT INTO job_history (job_id, version, transition_id, service, host, at)"
        " SELECT job_id, n.version, transition_id, 'x', 'h', created_at + n.version * job_id * interval '1 s'"
        " FROM job, job_transition t JOIN (VALUES (3, 'activated', 'sent'), (4, 'sent', 'starting'))"
        " n (version, source, destination) USING (source, destination)"
    )

    async def scene(store: Any) -> Any:
        return await store.reads.task_progress(7)

    progress = with_store(database_url, scene)
    assert progress.states == {"activated": 10}
    assert [(hop.name, hop.jobs, hop.p50_ms) for hop in progress.hops] == [("sent→starting", 3, 9000.0)]


def test_sessions_of_a_read_only_database_do_not_outlive_it(database_url: str, database: Database) -> None:
    """The first who finds that out finds it out for all."""
    name = database.value("SELECT current_database()")

    async def heard(store: Any) -> bool:
        try:
            await store.requests.hear([1])
        except TransientError:
            return False
        return True

    async def scene(store: Any) -> None:
        database.execute(f"ALTER DATABASE {name} SET default_transaction_read_only = on")
        await store.requests._pool._pool.drain()
        while any(await asyncio.gather(*(heard(store) for _ in range(20)))):
            await asyncio.sleep(0.05)
        database.execute(f"ALTER DATABASE {name} RESET default_transaction_read_only")
        await asyncio.sleep(pool._RENEW_AGAIN_S)
        assert [await heard(store) for _ in range(20)].count(False) <= 1
        assert not (await store.state()).is_read_only

    with_store(database_url, scene)


def test_it_answers_within_two_seconds_of_the_database(
    gateway: Processes, services: Services, pilot: Caller, database_url: str
) -> None:
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    services.postgres.kill()
    gone_at = time.monotonic()

    def away_for(seconds: float) -> bool:
        assert pilot.http.post(UPDATE_JOB, json=REPORT).status_code == 503
        return time.monotonic() - gone_at > seconds

    wait_until(lambda: away_for(12), "it is away for a while")
    with ThreadPoolExecutor(1) as pool:
        starting = pool.submit(services.postgres.start)
        wait_until(lambda: _accepts(database_url), "it accepts connections")
        back_at = time.monotonic()
        wait_until(lambda: pilot.http.post(UPDATE_JOB, json=REPORT).status_code == 200, "the first good answer")
        assert time.monotonic() - back_at < 2
        wait_until(lambda: readiness(pilot)[0] == 200, "it is ready")
        starting.result()


def _accepts(database_url: str) -> bool:
    try:
        psycopg.connect(database_url, connect_timeout=2).close()
    except psycopg.OperationalError:
        return False
    return True


def test_a_database_that_does_not_answer_is_told_within_seconds(
    run_dir: Path, database_url: str, broker_url: str
) -> None:
    proxy = Proxy(database_url)
    running = Processes(run_dir, proxy.url, broker_url)
    try:
        running.start("gateway")
        running.wait_until_ready()
        with closing(Caller(running.gateway_url)) as caller:
            assert readiness(caller)[0] == 200
            proxy.freeze()
            began = time.monotonic()
            status, found = readiness(caller)
            assert (status, found["database"][:6]) == (503, "away: ")
            assert time.monotonic() - began < 5
            proxy.passes()
            wait_until(lambda: readiness(caller)[0] == 200, "it is well again")
    finally:
        running.close()
        proxy.close()


@pytest.fixture
def nobody_there() -> Iterator[int]:
    """A port on which nobody listens."""
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield taken.getsockname()[1]


def test_of_several_hosts_the_one_that_can_be_written_to_is_taken(database_url: str, nobody_there: int) -> None:
    several = database_url.replace("@127.0.0.1:", f"@127.0.0.1:{nobody_there},127.0.0.1:")
    assert session(several, "")["target_session_attrs"] == "read-write"
    assert "target_session_attrs" not in session(database_url, "") | session(several + "?target_session_attrs=any", "")
    assert session(database_url + "?options=-cjit%3Doff", "-c x=1")["options"] == "-c x=1 -cjit=off"
    add_jobs(database_url, range(1, 2))

    async def scene(store: Any) -> Any:
        assert not (await store.state()).is_read_only
        return list(await store.requests.jobs([1]))

    assert with_store(several, scene) == [1]
