"""Requests that wait: bounded in number, bounded in age, and nothing is done for who has gone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any

import structlog

from gateway.http.door import Door
from tests.gateway_inside import QUEUE, Answered, Client, Store, gateway

GET_JOB, UPDATE_JOB = "/server/panda/getJob", "/server/panda/updateJob"
ACQUIRE, SUBMIT, DESCRIBE = "/api/v1/pilot/acquire_jobs", "/api/v1/job/submit", "/api/v1/job/get_description"
ASK = json.dumps({"siteName": QUEUE, "prodSourceLabel": "user"}).encode()
JOBS = json.dumps({"jobs": [["NULL"] * 47 + [QUEUE] + ["NULL"] * 78 + [[]]]}).encode()


def play(scene: Callable[[Door, Store], Awaitable[None]], **config: Any) -> None:
    """A scene with an open gateway and a store that the scene rules."""

    async def run() -> None:
        store = Store()
        async with gateway(store, **config) as door:
            try:
                await asyncio.wait_for(scene(door, store), 60)
            finally:
                store.go.set()

    asyncio.run(run())


def start(
    door: Door, count: int, path: str = GET_JOB, body: bytes = ASK
) -> list[tuple[Client, asyncio.Task[Answered]]]:
    """So many clients that ask at once."""
    clients = [Client(door) for _ in range(count)]
    return [(client, asyncio.create_task(client.ask("POST", path, [body]))) for client in clients]


async def until(condition: Callable[[], Any]) -> None:
    """Let everybody else run until it is so."""
    while not condition():
        await asyncio.sleep(0.001)


def test_more_than_can_wait_are_told_at_once_and_all_is_well_when_the_burst_ends() -> None:
    async def scene(door: Door, store: Store) -> None:
        store.go.clear()
        asked = start(door, 5, ACQUIRE)
        await until(lambda: store.asked)
        shed = await Client(door).ask("POST", ACQUIRE, [ASK])
        assert (shed.status, shed.headers["retry-after"], shed.json["success"]) == (503, "5", False)
        pilot = await Client(door).ask("POST", GET_JOB, [ASK])
        assert (pilot.status, pilot.json["StatusCode"]) == (200, 20), "after two errors the real pilot ends"
        report = await Client(door).ask("POST", UPDATE_JOB, [b"jobId=1&state=finished"])
        assert report.status == 503, "anything else the real pilot takes for accepted"
        assert (await Client(door).ask("GET", "/livez")).status == 200
        assert (await Client(door).ask("GET", "/api/v1/system/is_alive")).status == 200
        store.go.set()
        assert {(await task).status for _, task in asked} == {200}
        assert (await Client(door).ask("POST", ACQUIRE, [ASK])).status == 200

    play(scene, most_requests=5)


def test_whoever_waits_too_long_is_told_so_and_not_served_later() -> None:
    async def scene(door: Door, store: Store) -> None:
        store.go.clear()
        first = start(door, 1, ACQUIRE)
        await until(lambda: store.asked)
        later = start(door, 3, ACQUIRE)
        for _, task in [*first, *later]:
            answer = await task
            assert (answer.status, answer.headers["retry-after"]) == (503, "5")
        store.go.set()
        assert (await Client(door).ask("POST", ACQUIRE, [ASK])).status == 200
        assert len(store.asked) == 2, "three were dropped before the claim"
        assert store.given_up == ["claim_each"], "and the one under way was given up"

    play(scene, longest_wait_s=0.2)


def test_the_late_are_answered_although_whoever_works_for_them_does_not_hear_of_it() -> None:
    async def scene(door: Door, store: Store) -> None:
        deaf = asyncio.Event()

        async def describe(*_asked: Any) -> Any:
            try:
                await asyncio.sleep(100)
            except asyncio.CancelledError:
                await deaf.wait()
                raise

        store.__dict__["describe"] = describe
        answers: list[dict[str, Any]] = []
        client = Client(door)
        task = asyncio.create_task(client.ask("POST", DESCRIBE, [b'{"job_ids": [1]}'], told=answers.append))
        await until(lambda: len(answers) == 2)
        assert answers[0]["status"] == 503
        assert not task.done()
        deaf.set()
        assert (await task).status == 503

    play(scene, longest_wait_s=0.2)


def test_who_hung_up_is_given_nothing() -> None:
    async def scene(door: Door, store: Store) -> None:
        store.go.clear()
        first = start(door, 2)
        await until(lambda: store.asked)
        later = start(door, 5)
        await asyncio.sleep(0.01)
        for client, _ in first + later[:4]:
            client.hang_up()
        assert {(await task).status for _, task in first + later[:4]} == {0}
        store.go.set()
        assert (await later[4][1]).json["StatusCode"] == 20
        claims = [seats for what, (groups,) in store.asked if what == "claim_each" for _, seats in groups]
        assert [len(seats) for seats in claims] == [2, 1], "the claim of the two was given up, four never began"
        assert store.given_up == ["claim_each"]

    play(scene)


def test_a_claim_that_somebody_still_waits_for_goes_on() -> None:
    async def scene(door: Door, store: Store) -> None:
        store.go.clear()
        asked = start(door, 3)
        await until(lambda: store.asked)
        asked[0][0].hang_up()
        assert (await asked[0][1]).status == 0
        store.go.set()
        assert {(await task).status for _, task in asked[1:]} == {200}
        assert store.given_up == []

    play(scene)


def test_a_submission_is_dropped_before_it_is_kept_and_told_once_it_is_being_kept() -> None:
    async def scene(door: Door, store: Store) -> None:
        store.go.clear()
        early = start(door, 1, SUBMIT, JOBS)
        await until(lambda: store.asked)
        early[0][0].hang_up()
        assert (await early[0][1]).status == 0
        store.go.set()
        kept = asyncio.Event()

        async def keep_once(asked: Any, _here: Any) -> list[None]:
            store.asked.append(("keep", ()))
            await kept.wait()
            return [None for _ in asked]

        store.__dict__["keep_once"] = keep_once
        patient = start(door, 1, SUBMIT, JOBS)
        await until(lambda: ("keep", ()) in store.asked)
        await asyncio.sleep(0.8)
        assert not patient[0][1].done(), "whether it was kept is not known yet"
        kept.set()
        assert (await patient[0][1]).status == 200
        assert [what for what, _ in store.asked].count("keep") == 1

    play(scene, longest_wait_s=0.2)


def test_big_bodies_share_a_budget_and_give_it_back() -> None:
    async def scene(door: Door, store: Store) -> None:
        door._bodies._left = 1_000_000
        body = b'{"job_ids": [1], "x": "' + b"y" * 900_000 + b'"}'
        store.go.clear()
        first = start(door, 1, DESCRIBE, body)
        await until(lambda: store.asked)
        refused = await Client(door).ask("POST", DESCRIBE, [body])
        assert (refused.status, refused.headers["retry-after"]) == (429, "5")
        small = start(door, 1, DESCRIBE, b'{"job_ids": [1]}')
        store.go.set()
        assert [(await task).status for _, task in first + small] == [200, 200]
        assert (await Client(door).ask("POST", DESCRIBE, [body])).status == 200
        assert door._bodies._left == 1_000_000

    play(scene)


def test_told_to_end_it_serves_on_and_says_so() -> None:
    async def scene(door: Door, _store: Store) -> None:
        assert "connection" not in (await Client(door).ask("POST", GET_JOB, [ASK])).headers
        door.drain()
        answer = await Client(door).ask("POST", GET_JOB, [ASK])
        assert (answer.status, answer.headers["connection"]) == (200, "close")

    play(scene)


def test_a_line_for_each_refusal_without_what_is_secret() -> None:
    async def scene(door: Door, store: Store) -> None:
        secret = b"tokenkeytokenkey"
        bearer = [(b"authorization", b"Bearer " + secret), (b"host", b"127.0.0.1")]
        with structlog.testing.capture_logs() as lines:
            await Client(door).ask("GET", "/no/such", headers=bearer, query=b"token_key=" + secret)
            await Client(door).ask("POST", SUBMIT, [b'{"jobs": 5, "x": "' + secret + b'"}'], bearer)
            await Client(door).ask("POST", UPDATE_JOB, [b"jobId=1&state=flying"], bearer)
            await Client(door).ask("POST", GET_JOB, [ASK], [(b"host", b"evil.example")])
            await Client(door).ask("GET", "/readyz")
            await Client(door).ask("GET", "/livez")
            await Client(door).ask("POST", GET_JOB, [ASK])
        refused = [line for line in lines if line["event"] == "request_refused"]
        assert [(line["status"], line["path"]) for line in refused] == [
            (404, "/no/such"), (400, SUBMIT), (200, UPDATE_JOB), (421, GET_JOB),
        ]  # fmt: skip
        assert {line["peer"] for line in refused} == {"127.0.0.1:5"}
        assert all(line["reason"] and line["duration_ms"] >= 0 and line["method"] for line in refused)
        assert secret.decode() not in str(lines)

    play(scene)


def test_each_request_is_a_line_where_that_is_wanted_but_not_who_looks_at_our_health() -> None:
    async def scene(door: Door, store: Store) -> None:
        with structlog.testing.capture_logs() as lines:
            await Client(door).ask("GET", "/api/v1/pilot/get_job_status", query=b"job_ids=1&token_key=secret")
            await Client(door).ask("GET", "/no/such")
            for path in ("/livez", "/readyz", "/metrics"):
                await Client(door).ask("GET", path)
        answered = [line for line in lines if line["event"] == "request"]
        assert [(line["status"], line["path"]) for line in answered] == [
            (200, "/api/v1/pilot/get_job_status"), (404, "/no/such"),
        ]  # fmt: skip
        assert all(line["peer"] == "127.0.0.1:5" and line["duration_ms"] >= 0 for line in answered)
        assert "secret" not in str(lines)

    play(scene, access_log=True)


def test_a_flood_of_refusals_is_counted() -> None:
    async def scene(door: Door, store: Store) -> None:
        with structlog.testing.capture_logs() as lines:
            for _ in range(500):
                await Client(door).ask("GET", "/no/such")
        assert len(lines) < 400

    play(scene)
