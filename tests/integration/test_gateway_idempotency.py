"""Sent again because its answer was lost, a request is done once: by its key, or by its content."""

from __future__ import annotations

import json
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import httpx
import psycopg
import pytest

from lab.site import QUEUE
from panda_fsm.effects import Outgoing
from panda_fsm.messages import KillJob, SubmitJobs, decode, new_message_id
from panda_fsm.repeats import LOST_AFTER_S, REPEATED_WITHIN_S, Once
from sql.gateway_store import GatewayStore
from tests.driver import Database
from tests.gateway_http import Caller
from tests.gateway_stores import with_store
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs

SUBMIT, KILL = "/api/v1/job/submit", "/api/v1/job/kill"


def jobs(count: int, name: str = "NULL") -> dict[str, str]:
    """A submission as clients send it."""
    one: list[Any] = ["NULL"] * 47 + [QUEUE] + ["NULL"] * 78 + [[]]
    return {"jobs": json.dumps([[*one[:5], name, *one[6:]] for _ in range(count)])}


def submit(who: Caller, ask: Any, key: str | None = None) -> httpx.Response:
    return who.http.post(SUBMIT, json=ask, headers={} if key is None else {"Idempotency-Key": key})


def submit_at_last(who: Caller, ask: Any) -> httpx.Response:
    """Again and again while it is refused because a lock is held."""
    while (answer := submit(who, ask)).status_code == 503:
        pass
    return answer


def ids(answer: httpx.Response) -> list[int]:
    assert answer.status_code == 200, answer.text
    return [job_id for job_id, _definition, _jobset in answer.json()["data"]]


def accepted(database: Database) -> list[int]:
    """The PandaIDs of all submissions that are kept."""
    found = database.rows("SELECT body FROM request WHERE routing_key = 'submit'")
    messages = [decode(body.encode()) for (body,) in found]
    return sorted(job.job_id for message in messages if isinstance(message, SubmitJobs) for job in message.jobs)


@contextmanager
def nothing_is_kept_yet(database_url: str, database: Database, waiting: int = 1) -> Iterator[Any]:
    """What is accepted meanwhile waits for us before it is kept; the context's value returns when so many wait."""
    waits = "SELECT count(*) = %s FROM pg_locks WHERE relation = 'request'::regclass AND NOT granted"
    with psycopg.connect(database_url) as connection:
        connection.execute("LOCK TABLE request IN EXCLUSIVE MODE")
        yield lambda: wait_until(lambda: database.value(waits, (waiting,)), f"{waiting} wait")


@pytest.fixture
def second(gateway: Processes, tmp_path: Path) -> Iterator[Processes]:
    """Another gateway on the same database."""
    other = Processes(
        tmp_path, gateway.environment["PANDA_FSM_DATABASE_URL"], gateway.environment["PANDA_FSM_BROKER_URL"]
    )
    other.start("gateway")
    other.wait_until_ready()
    yield other
    other.close()


def elsewhere(who: Caller, gateway: Processes) -> Caller:
    """The same caller at another gateway."""
    there = Caller(gateway.gateway_url)
    there.http.headers["Authorization"] = who.http.headers["Authorization"]
    return there


def test_a_key_means_one_submission(user: Caller, pilot: Caller, database: Database) -> None:
    first = ids(submit(user, jobs(3), "k-1"))
    assert ids(submit(user, jobs(3), "k-1")) == first
    assert ids(submit(user, jobs(3), '"k-1"')) == first, "as a structured field"
    form = user.http.post(SUBMIT, data=jobs(3), headers={"Idempotency-Key": "k-1"})
    assert ids(form) == first, "the encoding is not the content"
    other = submit(user, jobs(2), "k-1")
    assert (other.status_code, other.json()["success"]) == (422, False)
    assert "needs a new key" in other.json()["message"]
    assert accepted(database) == first
    second, theirs = ids(submit(user, jobs(3), "k-2")), ids(submit(pilot, jobs(3), "k-1"))
    assert accepted(database) == sorted(first + second + theirs)
    assert database.value("SELECT count(*) FROM audit") == 3


def test_a_key_of_what_was_refused_is_free(user: Caller, database: Database) -> None:
    assert submit(user, {"jobs": "[1]"}, "k").status_code == 400
    assert submit(user, jobs(1), "k" * 256).status_code == 400
    given = ids(submit(user, jobs(1), "k"))
    assert accepted(database) == given


def test_two_at_once_with_one_key_are_one_at_any_gateway(
    user: Caller, second: Processes, database: Database, database_url: str
) -> None:
    with closing(elsewhere(user, second)) as there, ThreadPoolExecutor(6) as pool:
        with nothing_is_kept_yet(database_url, database):
            asked = [pool.submit(submit, who, jobs(2), "k") for who in (user, there, user, there, user)]
            asked.append(pool.submit(submit, there, jobs(3), "k"))
            wait_until(
                lambda: database.value("SELECT count(*) >= 2 FROM pg_stat_activity WHERE wait_event_type = 'Lock'"),
                "both gateways wait",
            )
        answers = [one.result() for one in asked]
    given = {tuple(ids(answer)) for answer in answers if answer.status_code == 200}
    assert len(given) == 1
    assert accepted(database) == list(*given)
    assert sorted(answer.status_code for answer in answers)[-1] == 422


def test_a_kill_with_a_key_is_answered_the_same_when_the_job_is_gone(
    user: Caller, database: Database, database_url: str
) -> None:
    add_jobs(database_url, range(1, 3), owner=user.key, state="running")
    headers = {"Idempotency-Key": "k"}
    for _ in range(2):
        answer = user.http.post(KILL, json={"job_ids": [1, 2, 3]}, headers=headers)
        assert answer.json()["data"] == [True, True, False]
        database.execute("UPDATE job SET state = 'cancelled'")
    assert database.value("SELECT count(*) FROM request") == 2
    assert user.post(KILL, {"job_ids": [1, 2, 3]})["data"] == [False] * 3


def test_whoever_has_an_answer_and_sends_the_same_again_means_it(
    user: Caller, second: Processes, database: Database
) -> None:
    """One after another, side by side, and at two gateways."""
    given = [ids(submit(user, jobs(1))) for _ in range(3)]
    with closing(elsewhere(user, second)) as there, ThreadPoolExecutor(8) as pool:
        given += [ids(answer) for answer in pool.map(lambda who: submit(who, jobs(1)), [user, there] * 10)]
    assert accepted(database) == sorted(job_id for one in given for job_id in one)
    assert len(set(accepted(database))) == 23
    wait_until(lambda: database.value("SELECT count(*) FROM unanswered") == 0, "all answers are noted")


def test_whoever_hung_up_and_sends_the_same_again_gets_what_was_accepted(
    gateway: Processes, second: Processes, user: Caller, database: Database, database_url: str
) -> None:
    """Once: the answer is given then, and whoever sends it a third time means it. A stranger always does."""
    for number, at in enumerate((gateway, second), 1):
        before = set(accepted(database))
        with nothing_is_kept_yet(database_url, database) as wait:
            _send_and_hang_up(gateway, user, jobs(number), wait)
            wait_until(lambda: _half_closed(gateway) == 0, "the gateway knows")
        wait_until(lambda: len(accepted(database)) > len(before), "it is kept")  # noqa: B023
        lost = sorted(before.symmetric_difference(accepted(database)))
        with closing(elsewhere(user, at)) as there, closing(Caller(at.gateway_url, "stranger")) as stranger:
            theirs = ids(submit(stranger, jobs(number)))
            assert ids(submit(there, jobs(number))) == lost
            assert set(accepted(database)) == before.union(lost, theirs)
            wait_until(lambda: database.value("SELECT count(*) FROM unanswered") == 0, "its answer is noted")
            assert before.union(lost, theirs).isdisjoint(ids(submit(there, jobs(number))))


def test_a_repetition_that_overtakes_the_first_waits_for_it(
    gateway: Processes, second: Processes, user: Caller, database: Database, database_url: str
) -> None:
    """The first is not kept yet when it comes: it would have been a ghost."""
    with closing(elsewhere(user, second)) as there, ThreadPoolExecutor(1) as pool:
        with nothing_is_kept_yet(database_url, database) as wait:
            _send_and_hang_up(gateway, user, jobs(2), wait)
            repeated = pool.submit(submit, there, jobs(2))
            held = "SELECT count(*) > 0 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            wait_until(lambda: database.value(held), "the second waits for the first")
        assert ids(repeated.result()) == accepted(database)


def _send_and_hang_up(gateway: Processes, who: Caller, ask: Any, wait: Any) -> None:
    """A client that gives up while its submission is being kept."""
    body = json.dumps(ask).encode()
    head = (
        f"POST {SUBMIT} HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
        f"Authorization: {who.http.headers['Authorization']}\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    with socket.create_connection(("127.0.0.1", gateway.gateway_port)) as client:
        client.sendall(head.encode() + body)
        wait()


def _half_closed(gateway: Processes) -> int:
    """Connections that a client has closed and the gateway has not."""
    lines = Path(f"/proc/{gateway.pid('gateway')}/net/tcp").read_text().splitlines()[1:]
    close_wait, port = "08", f":{gateway.gateway_port:04X}"
    return sum(line.split()[1].endswith(port) and line.split()[3] == close_wait for line in lines)


def test_a_gateway_that_dies_over_its_answer_leaves_it_to_the_next(database_url: str, database: Database) -> None:
    """What it kept looks as if its answer were on the way, for a moment."""

    def once(answer: str, owner: str = "o", request_hash: str = "h") -> Once:
        message = Outgoing.of(KillJob(job_id=1))
        return Once(new_message_id(), owner, None, request_hash, answer, [message])

    async def scene(store: GatewayStore) -> None:
        first, other = once("1"), once("2", owner="p")
        assert await store.repeats.keep_once([first, other, once("3", request_hash="i")], ()) == [None, None, None]
        (earlier,) = await store.repeats.keep_once([once("4")], ())
        assert earlier is not None
        assert (earlier.request_id, earlier.answer, earlier.is_open) == (first.request_id, "1", True)
        assert await store.repeats.keep_once([once("5")], [first.request_id]) == [None], "it lives, here"
        database.execute("DELETE FROM unanswered WHERE answer = '5'")
        for age_s, found in ((LOST_AFTER_S, ("1", False)), (REPEATED_WITHIN_S, None)):
            database.execute("UPDATE unanswered SET kept_at = now() - make_interval(secs => %s)", (age_s,))
            (earlier,) = await store.repeats.keep_once([once("6")], ())
            assert (earlier and (earlier.answer, earlier.is_open)) == found
        assert database.value("SELECT count(*) FROM request") == 5

    with_store(database_url, scene)


def test_keys_that_come_twice_in_one_batch_are_one(database_url: str, database: Database) -> None:
    def once(key: str, answer: str, owner: str = "o") -> Once:
        return Once(new_message_id(), owner, key, f"h{key}", answer, [Outgoing.of(KillJob(job_id=1))])

    async def scene(store: GatewayStore) -> list[Any]:
        await store.repeats.keep_once([once("a", "1")], ())
        batch = [once("b", "2"), once("a", "3"), once("b", "4"), once("b", "5", owner="p")]
        earlier = await store.repeats.keep_once(batch, ())
        bad = Once(new_message_id(), "o", "c", "h", "6", [Outgoing("no-uuid", "panda.requests", "kill", b"{}")])
        with pytest.raises(psycopg.Error):
            await store.repeats.keep_once([once("d", "7"), bad], ())
        return [one and one.answer for one in earlier]

    assert with_store(database_url, scene) == [None, "1", "2", None]
    assert database.rows("SELECT answer FROM idempotency ORDER BY 1") == [("1",), ("2",), ("5",)]
    assert database.value("SELECT count(*) FROM request") == 3


def test_reports_do_not_wait_behind_a_large_submission(
    user: Caller, pilot: Caller, database: Database, database_url: str
) -> None:
    """Whatever holds the one up, the other has its own way into the database."""
    add_jobs(database_url, range(1, 2), state="running", holder=pilot.key)
    with psycopg.connect(database_url) as connection, ThreadPoolExecutor(4) as pool:
        connection.execute("LOCK TABLE unanswered IN ACCESS EXCLUSIVE MODE")
        asked = [pool.submit(submit_at_last, user, jobs(2000 * (n % 2) + 1, "x" * 1000)) for n in range(4)]
        wait_until(
            lambda: database.value("SELECT count(*) = 2 FROM pg_locks WHERE relation = 'unanswered'::regclass"
                                   " AND NOT granted"), "a small one and a large one wait"
        )  # fmt: skip
        report = {"jobId": 1, "attemptNr": 1, "state": "finished"}
        assert pilot.post("/server/panda/updateJob", report)["command"] == "NULL"
        assert not any(one.done() for one in asked)
        connection.rollback()
        assert {one.result().status_code for one in asked} == {200}


def test_the_answer_is_kept_as_long_as_the_key(user: Caller, database: Database) -> None:
    first = ids(submit(user, jobs(1), "k"))
    database.execute("DELETE FROM request")
    database.execute("UPDATE idempotency SET created_at = now() - interval '6 days'")
    assert ids(submit(user, jobs(1), "k")) == first
