"""Requests of JEDI's that come again, that cannot be read, and whose answers nobody may have."""

from __future__ import annotations

import gzip
import json
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import psycopg
import pytest

from panda_fsm.errors import TransientError
from panda_fsm.jobs.states import State
from panda_fsm.messages.envelope import LONGEST_REASON
from panda_fsm.trouble import SUSPECT_FOR_S
from tests.driver import Database
from tests.inprocess import Outlet, put
from tests.jedi_side import REPLIES, Door, job, request, submission
from tests.polling import wait_until

HEAD = {"msg_type": "submit_jobs", "msg_id": "large", "reply_to": REPLIES}


@pytest.fixture
def door(database_url: str) -> Iterator[Door]:
    one = Door(database_url)
    yield one
    one.close()


def letters(database: Database) -> list[str]:
    """Why there are dead letters."""
    return [reason for (reason,) in database.rows("SELECT reason FROM dead_letter ORDER BY dead_letter_id")]


def written(database: Database) -> list[int]:
    """How much of all that a request may leave behind."""
    tables = ("job", "request", "outbox", "audit", "jedi_request", "jedi_grant", "job_retry", "job_history")
    return [database.value(f"SELECT count(*) FROM {table}") for table in tables]  # noqa: S608


@pytest.mark.parametrize(
    "asked",
    [
        lambda _ids: request("reserve_ids", count=3),
        lambda _ids: submission(job(1), job(2)),
        lambda ids: request("release_jobs", jobids=ids),
        lambda ids: request("kill_jobs", jobids=ids),
    ],
    ids=["reserve_ids", "submit_jobs", "release_jobs", "kill_jobs"],
)
def test_a_request_that_comes_again_is_answered_the_same_and_does_nothing(
    door: Door, database: Database, asked: Any
) -> None:
    ids = door.submit([job(n) for n in range(3)], to_pending=True)
    one = asked(ids)
    reply = door.ask(one)
    before = written(database)
    put(database, ids, State.ACTIVATED)
    assert door.ask(dict(reversed(one.items()))) == reply, "however it is written"
    assert door.put(gzip.compress(json.dumps(one).encode())) == reply, "gzip by what it begins with"
    elsewhere = door.ask(one | {"reply_to": "/reply-queue/amq.gen-1"})
    assert (elsewhere, door.inside.outlet.taken[-1].routing_key) == (reply, "amq.gen-1")
    assert written(database) == before
    other = door.ask(one, user_id="somebody")
    assert other["msg_id"] != reply["msg_id"], "others may use the same name"
    assert letters(database) == []


def test_a_msg_id_stands_for_one_request(door: Door, database: Database) -> None:
    door.ask(request("reserve_ids", msg_id="one", count=3))
    reply = door.ask(request("reserve_ids", msg_id="one", count=4))
    assert (reply["ok"], reply["error"].partition(":")[0]) == (False, "msg_id")
    assert letters(database) == [reply["error"]]
    assert database.value("SELECT count(*) FROM jedi_grant") == 1


def test_two_processes_with_the_same_request_do_it_once(door: Door, database: Database, database_url: str) -> None:
    """As when a consumer that lost its connection handles on what the next one was given."""
    body = json.dumps(submission(job(1), job(2))).encode()
    second = Door(database_url)
    trouble: list[Exception] = []

    def handle() -> None:
        try:
            second.put(body)
        except TransientError as error:
            trouble.append(error)

    with psycopg.connect(database_url) as blocker:
        blocker.execute("LOCK TABLE job_spec IN EXCLUSIVE MODE")  # the first holds its note and waits here
        first = threading.Thread(target=door.put, args=(body,))
        first.start()
        waits = """SELECT count(*) FROM pg_stat_activity
                   WHERE wait_event_type = 'Lock' AND application_name = 'jedi.requests'"""
        wait_until(lambda: database.value(waits) == 1, "the first waits")
        other = threading.Thread(target=handle)
        other.start()
        wait_until(lambda: database.value(waits) == 2, "the second waits for the first")
        blocker.rollback()
    first.join()
    other.join()
    assert [type(error) for error in trouble] == [TransientError], "the consumer tries it again"
    (reply,) = [one.body for one in door.inside.outlet.taken if one.exchange == ""]
    assert second.put(body) == json.loads(reply)
    assert database.value("SELECT count(*) FROM job") == 2
    second.close()


def test_what_was_committed_before_a_crash_is_answered_again(door: Door, database: Database, database_url: str) -> None:
    crashed = Door(database_url, Outlet(silent=True))  # it commits, publishes nothing and acknowledges nothing
    asked = submission(job(1))
    crashed.put(json.dumps(asked).encode())
    crashed.close()
    (kept,) = database.rows("SELECT body FROM outbox WHERE exchange = ''")[0]
    assert door.ask(asked) == json.loads(kept)
    assert database.value("SELECT count(*) FROM job") == 1


@pytest.mark.parametrize(
    ("named", "queue"),
    [
        ("jedi.replies.wlcg", "jedi.replies.wlcg"),
        ("/amq/queue/jedi.replies.wlcg", "jedi.replies.wlcg"),
        ("/queue/jedi.replies", "jedi.replies"),
        ("/temp-queue/amq.gen-abc", "amq.gen-abc"),
        ("amq.rabbitmq.reply-to.g1hkAA", "amq.rabbitmq.reply-to.g1hkAA"),
    ],
)
def test_answers_go_where_the_sender_listens(door: Door, named: str, queue: str) -> None:
    door.ask(request("reserve_ids", count=1, reply_to=named))
    door.ask(request("reserve_ids", count=1, reply_to=None), reply_to=named)
    assert [one.routing_key for one in door.inside.outlet.taken] == [queue] * 2


def test_without_a_place_nothing_is_answered_and_all_is_done(door: Door, database: Database) -> None:
    asked = request("reserve_ids", count=1, reply_to=None)
    assert door.put(json.dumps(asked).encode()) is None
    assert database.value("SELECT count(*) FROM jedi_grant") == 1
    assert door.ask(asked | {"reply_to": REPLIES})["ok"], "it may be asked for later"


OURS = ["watcher", "jedi.status.wlcg.0", "jedi.requests", 5, "jedi.replies.\x07", "/exchange/x"]


@pytest.mark.parametrize("named", OURS)
def test_no_answer_goes_into_a_queue_of_ours(door: Door, database: Database, named: Any) -> None:
    assert door.put(json.dumps(request("reserve_ids", count=1, reply_to=named)).encode()) is None
    assert "reply_to" in letters(database)[0]
    assert database.value("SELECT count(*) FROM jedi_grant") == 0


def _large(size: int) -> bytes:
    return json.dumps(HEAD | {"jobs": [job(jobParameters="x" * size)]}).encode()


REFUSED: dict[str, tuple[bytes | Callable[[], bytes], dict[str, Any], str, bool]] = {
    "501 jobs": (json.dumps(HEAD | {"jobs": [{}] * 501}).encode(), {}, "at most 500 items", True),
    "no jobs": (json.dumps(HEAD | {"jobs": []}).encode(), {}, "at least 1 item", True),
    "more than 1 MiB": (_large(1024 * 1024), {}, "more than 1048576 bytes", True),
    "40 MB": (lambda: _large(40_000_000), {}, "more than 1048576 bytes", True),
    "a gzip bomb": (lambda: gzip.compress(_large(300_000_000)), {}, "more than 1048576 bytes", True),
    "gzip cut off": (gzip.compress(_large(1000))[:-20], {}, "ends too early", True),
    "no gzip": (_large(10), {"content_encoding": "gzip"}, "no gzip", True),
    "gzip with another sum": (gzip.compress(_large(10))[:-8] + b"\0" * 8, {}, "no gzip", True),
    "gzip with more behind": (gzip.compress(_large(10)) + b"x", {}, "more follows", True),
    "gzip twice": (gzip.compress(gzip.compress(_large(10))), {"content_encoding": "gzip"}, "not JSON", False),
    "packed, and called otherwise": (gzip.compress(_large(10)), {"content_encoding": "br"}, "content_encoding", True),
    "another packing": (_large(10), {"content_encoding": "br"}, "content_encoding 'br'", True),
    "broken": (_large(10).replace(b"managed", b"man\naged"), {}, "not JSON", True),
    "cut off": (_large(10)[:-30], {}, "not JSON", True),
    "a list": (b"[1]", {}, "not a JSON object", False),
    "nothing": (b"", {}, "not JSON", False),
    "too deep": (b"[" * 100_000, {}, "not JSON", False),
    "no text": (b"\xff\x00", {}, "not JSON", False),
    "no msg_id": (json.dumps(HEAD | {"msg_id": None}).encode(), {}, "msg_id", False),
    "a long msg_id": (json.dumps(HEAD | {"msg_id": "x" * 129}).encode(), {}, "msg_id", False),
    "no msg_type": (json.dumps(HEAD | {"msg_type": None}).encode(), {}, "msg_type", True),
    "a long msg_type": (json.dumps(HEAD | {"msg_type": "x" * 100_000}).encode(), {}, "Input tag", True),
    "an unknown msg_type": (json.dumps(HEAD | {"msg_type": "reassign_jobs"}).encode(), {}, "reassign_jobs", True),
    "a newer schema": (json.dumps(HEAD | {"schema": 2, "jobs": [{}]}).encode(), {}, "schema", True),
    "5001 ids": (json.dumps(HEAD | {"msg_type": "reserve_ids", "count": 5001}).encode(), {}, "count", True),
    "1001 kills": (json.dumps(HEAD | {"msg_type": "kill_jobs", "jobids": [1] * 1001}).encode(), {}, "jobids", True),
    **{
        f"{value} as {name} of {msg_type}": (
            json.dumps(HEAD | {"jobids": [1], "taskid": 1} | {"msg_type": msg_type, name: value}).encode(),
            {}, name, True,
        )
        for msg_type, name, value in [
            ("reserve_ids", "count", True), ("kill_jobs", "jobids", [True]), ("kill_jobs", "code", True),
            ("set_priority", "priority", True), ("hold_task", "taskid", True), ("hold_task", "schema", True),
            ("set_share", "gshare", "NULL"), ("set_share", "gshare", "  "),
        ]
    },
    "a strange code": (
        json.dumps(HEAD | {"msg_type": "kill_jobs", "jobids": [1], "code": "x"}).encode(), {}, "code", True
    ),
}  # fmt: skip
"""Large ones are made when they are needed: every process that collects tests would make them."""


@pytest.mark.parametrize("case", list(REFUSED))
def test_what_cannot_be_taken_is_answered_where_that_is_possible_and_kept_with_its_reason(
    door: Door, database: Database, case: str
) -> None:
    made, fields, reason, is_told = REFUSED[case]
    body = made if isinstance(made, bytes) else made()
    before = written(database)
    reply = door.put(body, **fields)
    ((why, payload),) = database.rows("SELECT reason, payload FROM dead_letter")
    assert reason in why
    assert len(why) <= LONGEST_REASON
    assert bytes(payload) == body
    assert (reply is not None) == is_told
    if reply is not None:
        assert (reply["in_reply_to"], reply["ok"], reply["error"]) == ("large", False, why)
    assert written(database) == before


def test_null_says_as_much_as_nothing(door: Door) -> None:
    (job_id,) = door.submit([job(1)], to_pending=None, relationtype=None, fqans=None, schema=None)
    asked = request("kill_jobs", jobids=[job_id], code=None, comment=None, kill_options=None)
    assert door.ask(asked)["results"] == [{"jobid": job_id, "result": "killed"}]
    assert door.ask({name: value for name, value in asked.items() if value is not None})["ok"], "the same request"
    assert not door.ask(request("reserve_ids", count=None))["ok"], "what is needed is missing"


def test_bad_requests_one_after_the_other_stop_nobody(door: Door, database: Database) -> None:
    for number in range(12):
        assert not door.ask(request("reserve_ids", count=0, msg_id=f"bad{number}"))["ok"]
    assert door.ask(request("reserve_ids", count=1))["ok"]
    assert len(letters(database)) == 12


def test_an_unforeseen_failure_is_tried_again_as_it_was_sent_and_buried_in_the_end(
    door: Door, database: Database
) -> None:
    database.execute("ALTER TABLE jedi_grant ADD CHECK (first < 0)")
    body = gzip.compress(json.dumps(request("reserve_ids", count=1, reply_to=None)).encode())
    said = {"user_id": "somebody", "reply_to": REPLIES, "content_encoding": "gzip"}
    assert door.put(body, **said) is None
    (again,) = door.inside.outlet.taken
    assert again.headers is not None
    assert {name: again.headers[name] for name in said} == said
    door.put(body, waiting_since=time.time() - 100 * SUSPECT_FOR_S - 86_400, **said)
    assert "CheckViolation" in letters(database)[0]
