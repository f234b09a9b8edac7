"""JEDI's side on a real broker: requests until they are answered, statuses until they are taken."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Self

import pytest
from panda_fsm_jedi.bunches import decode
from panda_fsm_jedi.client import JediClient
from panda_fsm_jedi.errors import NotAnsweredError, RefusedError
from panda_fsm_jedi.follower import Follower
from panda_fsm_jedi.messages import Told
from panda_fsm_jedi.queues import DIRECT, EXCHANGE
from pika.adapters.blocking_connection import BlockingChannel

from lab.services import Services
from tests.broker_side import channel_of, waiting
from tests.polling import wait_until

VO = "lab"
REPLIES = f"jedi.replies.{VO}"
QUORUM = {"x-queue-type": "quorum"}


def declare(channel: BlockingChannel, shards: int = 1) -> None:
    """What the server declares, as far as these tests need it."""
    channel.exchange_declare(EXCHANGE, "fanout", durable=True)
    for queue in (EXCHANGE, REPLIES, *(f"jedi.status.{VO}.{shard}" for shard in range(shards))):
        channel.queue_declare(queue, durable=True, arguments=QUORUM)
    channel.queue_bind(EXCHANGE, EXCHANGE)


class Server:
    """The other end of the requests: hears them, and answers when it is told to."""

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self.heard: list[dict[str, Any]] = []

    def hear(self, count: int) -> Self:
        """Return when so many requests more have come."""

        def has_come() -> bool:
            with channel_of(self._url) as channel:
                method, properties, body = channel.basic_get(EXCHANGE, auto_ack=True)
                if method is None or properties is None or body is None:
                    return False
                self.heard.append(decode(body) | {"to": properties.reply_to})
                return True

        for _ in range(count):
            wait_until(has_come, f"request {len(self.heard) + 1}")
        return self

    def answer(self, place: int = -1, **fields: Any) -> None:
        """Answer a request that was heard."""
        request = self.heard[place]
        reply = {"msg_type": f"{request['msg_type']}_reply", "in_reply_to": request["msg_id"], "ok": True, **fields}
        with channel_of(self._url) as channel:
            channel.basic_publish("", request["to"], json.dumps(reply).encode())


@pytest.fixture
def server(broker_url: str) -> Server:
    """With exchange and queues there."""
    with channel_of(broker_url) as channel:
        declare(channel)
    return Server(broker_url)


@pytest.fixture
def asking() -> Iterator[ThreadPoolExecutor]:
    """Who waits for an answer while the test gives it."""
    with ThreadPoolExecutor(4) as pool:
        yield pool


def say(broker_url: str, *statuses: dict[str, Any]) -> None:
    with channel_of(broker_url) as channel:
        for status in statuses:
            channel.basic_publish("", f"jedi.status.{VO}.0", json.dumps({"msg_type": "job_status", **status}).encode())


@pytest.mark.parametrize("replies", [None, DIRECT])
def test_a_request_is_answered_by_queue_or_directly(
    broker_url: str, server: Server, asking: ThreadPoolExecutor, replies: str | None
) -> None:
    with JediClient(broker_url, VO, replies) as client:
        granted = asking.submit(lambda: list(client.reserve_ids(7)))
        server.hear(1).answer(first=100, last=106)
        assert [list(block.ids()) for block in granted.result()] == [list(range(100, 107))]
        refused = asking.submit(client.hold_task, 3)
        server.hear(1).answer(ok=False, error="no such task")
        with pytest.raises(RefusedError, match="hold_task was refused: no such task"):
            refused.result()
    assert [request["msg_type"] for request in server.heard] == ["reserve_ids", "hold_task"]


def test_a_request_comes_again_until_it_is_answered(
    broker_url: str, server: Server, services: Services, asking: ThreadPoolExecutor
) -> None:
    """After a restart of the broker, and when its answer is lost; the same each time."""
    with JediClient(broker_url, VO, again_s=0.2) as client:
        asked = asking.submit(client.set_priority, 3, 800)
        server.hear(2)
        services.rabbitmq.restart()
        server.hear(1).answer()
        assert asked.result().ok
    assert len({json.dumps(request) for request in server.heard}) == 1


def test_who_waits_too_long_is_told_why(broker_url: str, server: Server) -> None:
    nobodys, elsewhere = "amqp://nobody:x@" + broker_url.split("@")[1], "amqp://127.0.0.1:1/"
    whys = {
        broker_url: "it was sent",
        nobodys: "no connection .*ACCESS_REFUSED",
        elsewhere: "no connection .*refused",
    }
    for url, why in whys.items():
        with JediClient(url, VO) as client:
            client.timeout_s = 0.5
            with pytest.raises(NotAnsweredError, match=rf"set_share .* was not answered within 0\.5 s: .*{why}"):
                client.set_share([3], "Production")


def test_a_submission_goes_in_bunches_and_is_answered_in_order(
    broker_url: str, server: Server, asking: ThreadPoolExecutor
) -> None:
    jobs = [{"PandaID": jobid} for jobid in range(1, 602)]
    with JediClient(broker_url, VO) as client:
        submitted = asking.submit(client.submit_jobs, 3, jobs, user="Jane Doe")
        server.hear(2)
        for place in (1, 0):
            results = [{"pandaid": job["PandaID"]} for job in server.heard[place]["jobs"]]
            server.answer(place, results=results)
        assert [result.pandaid for result in submitted.result()] == list(range(1, 602))
    assert [len(request["jobs"]) for request in server.heard] == [500, 101]


def test_a_replay_is_read_page_by_page(broker_url: str, server: Server, asking: ThreadPoolExecutor) -> None:
    def page(*jobids: int) -> list[dict[str, Any]]:
        return [{"msg_type": "job_status", "jobid": jobid, "seq": jobid, "status": "running"} for jobid in jobids]

    with JediClient(broker_url, VO) as client:
        told = asking.submit(lambda: list(client.replay(taskid=3)))
        server.hear(1).answer(results=page(1, 2), next=2)
        server.hear(1).answer(results=page(3))
        assert [status.jobid for status in told.result()] == [1, 2, 3]
    assert [request.get("after") for request in server.heard] == [None, 2]


def test_what_is_not_newer_is_dropped_and_all_is_acknowledged(broker_url: str, server: Server) -> None:
    told: list[Told] = []
    say(broker_url, {"jobid": 1, "seq": 5, "status": "sent"}, {"jobid": 1, "seq": 5, "status": "sent"})
    say(broker_url, {"jobid": 2, "seq": 4, "status": "sent"}, {"jobid": 9}, {"msg_type": "later"})
    say(broker_url, {"jobid": 2, "seq": 9, "status": "running"})
    with Follower(broker_url, VO, told.append, shards=1, seqs={2: 4}) as follower:
        wait_until(lambda: follower.taken == 2, "what is newer")
    assert [(one.jobid, one.seq) for one in told if one.msg_type == "job_status"] == [(1, 5), (2, 9)]
    assert follower.dropped == 2
    wait_until(lambda: waiting(broker_url, f"jedi.status.{VO}.0") == 0, "all are acknowledged")


def test_what_was_not_taken_comes_again(broker_url: str, server: Server) -> None:
    def refuse(message: Told) -> None:
        raise LookupError(message.msg_type)

    say(broker_url, {"jobid": 1, "seq": 5, "status": "sent"})
    with Follower(broker_url, VO, refuse, shards=1) as follower, pytest.raises(LookupError):
        wait_until(follower.check, "the error of who takes")
    told: list[Told] = []
    with Follower(broker_url, VO, told.append, shards=1):
        wait_until(lambda: told, "the same message")


def test_queues_are_found_when_they_come_and_when_they_come_again(broker_url: str, services: Services) -> None:
    """Those of a VO are declared with its first job; deleted and declared at once, nobody is told."""
    told: list[Told] = []
    heard = threading.Event()

    def take(message: Told) -> None:
        told.append(message)
        heard.set()

    with Follower(broker_url, VO, take, shards=2) as follower:
        assert follower.connected.wait(10)
        for seq in (1, 2):
            with channel_of(broker_url) as channel:
                for shard in (0, 1):
                    channel.queue_delete(f"jedi.status.{VO}.{shard}")
                declare(channel, shards=2)
            say(broker_url, {"jobid": 1, "seq": seq, "status": "sent"})
            assert heard.wait(20), f"message {seq} was not heard"
            heard.clear()
        follower.connected.clear()
        services.rabbitmq.restart()
        assert follower.connected.wait(30)
        say(broker_url, {"jobid": 1, "seq": 3, "status": "running"})
        assert heard.wait(20)
