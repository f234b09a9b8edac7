"""JEDI's requests through the real broker and a real process, which dies in the middle of them."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any
from urllib.parse import urlsplit

import pika
import pytest
from pika.exceptions import ChannelClosedByBroker

from panda_fsm.bindings import JEDI_REQUESTS
from panda_fsm.views.dead_letters import Choice, Deed
from sql.dead_letters import DeadLetterBox
from tests.driver import Database
from tests.jedi_side import job, request, submission
from tests.polling import wait_until
from tests.processes import Processes


class Jedi:
    """A client with a queue of its own for replies."""

    def __init__(self, broker_url: str) -> None:
        self.user = urlsplit(broker_url).username
        self._connection = pika.BlockingConnection(pika.URLParameters(broker_url))
        self._channel = self._connection.channel()
        self._channel.confirm_delivery()
        self.replies = self._channel.queue_declare("", exclusive=True).method.queue

    def send(self, asked: Mapping[str, Any], **properties: Any) -> None:
        """Publish to the exchange, as JEDI does."""
        self.send_body(json.dumps(asked).encode(), **properties)

    def send_body(self, body: bytes, **properties: Any) -> None:
        """The same of whatever it wrote."""
        said = pika.BasicProperties(delivery_mode=2, reply_to=self.replies, **properties)
        self._channel.basic_publish(JEDI_REQUESTS, "", body, said, mandatory=True)

    def reply(self, timeout_s: float = 30) -> dict[str, Any]:
        """The next reply."""
        _, _, body = wait_until(lambda: self._got(), "a reply", timeout_s)
        answer: dict[str, Any] = json.loads(body)
        return answer

    def _got(self) -> tuple[Any, Any, bytes] | None:
        found = self._channel.basic_get(self.replies, auto_ack=True)
        return found if found[0] is not None else None

    def close(self) -> None:
        self._connection.close()


@pytest.fixture
def jedi(processes: Processes, broker_url: str) -> Iterator[Jedi]:
    """The door is served, and JEDI connected."""
    processes.start("jedi.requests")
    wait_until(lambda: _is_declared(broker_url), "the exchange is there")
    one = Jedi(broker_url)
    yield one
    one.close()


def _is_declared(broker_url: str) -> bool:
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        try:
            connection.channel().queue_declare(JEDI_REQUESTS, passive=True)
        except ChannelClosedByBroker:
            return False
    return True


def test_requests_are_answered_by_their_senders_name_wherever_the_answers_go(jedi: Jedi, database: Database) -> None:
    jedi.send(request("reserve_ids", count=2, reply_to="amq.gen-gone"))
    jedi.send(request("reserve_ids", count=2, reply_to=None), user_id=jedi.user)
    granted = jedi.reply()
    jedi.send(submission(job(1, PandaID=granted["first"]), reply_to=None), user_id=jedi.user)
    assert [one["pandaid"] for one in jedi.reply()["results"]] == [granted["first"]]
    actors = [actor for (actor,) in database.rows("SELECT actor FROM audit ORDER BY audit_id")]
    assert actors == ["jedi", jedi.user, jedi.user]
    wait_until(lambda: database.value("SELECT count(*) FROM outbox WHERE exchange = ''") == 0, "none is left to send")
    assert database.value("SELECT count(*) FROM dead_letter") == 0


def test_a_process_that_dies_in_the_middle_does_nothing_twice(
    jedi: Jedi, processes: Processes, database: Database
) -> None:
    asked = [submission(job(n), job(n + 100), reply_to=None) for n in range(30)]
    for one in asked:
        jedi.send(one)
    for most in (3, 10, 20):
        answered = "SELECT count(*) >= %s FROM jedi_request"
        wait_until(partial(database.value, answered, (most,)), "some are answered")
        processes.kill("jedi.requests")
        processes.restart("jedi.requests")
    answers: dict[str, dict[str, Any]] = {}
    while len(answers) < len(asked):
        reply = jedi.reply()
        assert answers.setdefault(reply["in_reply_to"], reply) == reply, "the same answer, however often it comes"
    ids = [result["pandaid"] for one in asked for result in answers[one["msg_id"]]["results"]]
    assert len(set(ids)) == 60
    assert sorted(ids) == [job_id for (job_id,) in database.rows("SELECT job_id FROM job ORDER BY 1")]
    assert database.value("SELECT count(*) FROM audit") == 30


def test_a_dead_letter_comes_back_as_it_was_sent(
    jedi: Jedi, processes: Processes, database: Database, database_url: str
) -> None:
    """What was refused is taken once its cause is mended; its sender is who the broker named, whatever he wrote."""
    asked = request("reserve_ids", msg_id="used", count=2, reply_to=None)
    jedi.send(asked | {"count": 1}, user_id=jedi.user)
    assert jedi.reply()["ok"]
    packed = gzip.compress(json.dumps(asked).encode())
    forged = {"user_id": "somebody", "reply_to": "jedi.replies.others", "key": "kill"}
    jedi.send_body(packed, user_id=jedi.user, content_encoding="gzip", headers=forged)
    jedi.send_body(b"no JSON", headers=forged)
    assert not jedi.reply()["ok"]
    wait_until(lambda: database.value("SELECT count(*) FROM dead_letter") == 2, "both are dead letters")
    database.execute("DELETE FROM jedi_request")
    processes.start("relay")
    box = DeadLetterBox(database_url)
    assert box.settle(Choice(queue=JEDI_REQUESTS), "replayed", Deed("me")).letters == 2
    box.close()
    again = jedi.reply()
    assert (again["in_reply_to"], again["ok"], again["last"] - again["first"]) == ("used", True, 1)
    actors = database.rows("SELECT actor FROM jedi_grant")
    assert actors == [(jedi.user,)] * 2
    wait_until(lambda: database.value("SELECT count(*) FROM dead_letter WHERE status = 'open'") == 1, "one is back")
    (letter,) = database.rows("SELECT queue, payload, headers ? 'user_id' FROM dead_letter WHERE status = 'open'")
    assert (letter[0], bytes(letter[1]), letter[2]) == (JEDI_REQUESTS, b"no JSON", False)
