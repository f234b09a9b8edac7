"""The gateway's publisher on a real broker: an answer means confirmed, anything else is said in time."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Awaitable, Callable
from typing import Any

import pika
import pytest

from broker.async_publisher import AsyncPublisher
from lab.services import Services
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError, UnsendableError
from panda_fsm.jobs.states import State
from panda_fsm.messages import LARGEST_BODY, REQUESTS, JobEvent, new_message_id
from tests.broker_side import kill, waiting
from tests.proxy import Proxy


async def publish_until_confirmed(publisher: AsyncPublisher) -> None:
    """As who repeats a request that was not accepted."""
    while True:
        with contextlib.suppress(NotPublishedError):
            return await publisher.publish(kill())


async def until(condition: Callable[[], bool], timeout_s: float = 20) -> None:
    """Wait for a condition, with a deadline."""
    async with asyncio.timeout(timeout_s):
        while not condition():
            await asyncio.sleep(0.05)


def with_publisher(
    broker_url: str, scene: Callable[[AsyncPublisher], Awaitable[None]], confirm_timeout_s: float = 10
) -> None:
    """Play a scene with a publisher that is open."""

    async def play() -> None:
        publisher = AsyncPublisher(broker_url, confirm_timeout_s)
        await publisher.open()
        try:
            await scene(publisher)
        finally:
            await publisher.close()

    asyncio.run(play())


def test_a_thousand_at_once_are_confirmed(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        await asyncio.gather(*(publisher.publish(kill(number)) for number in range(1, 1001)))
        assert publisher.is_connected

    with_publisher(broker_url, scene)
    assert waiting(broker_url, "watcher") == 1000


def test_what_no_queue_takes_is_not_published_and_the_queue_is_made_again(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        await publisher.publish(kill())
        with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
            connection.channel().queue_delete("watcher")
        answers = await asyncio.gather(*(publisher.publish(kill()) for _ in range(5)), return_exceptions=True)
        assert {type(answer) for answer in answers} == {NotPublishedError}
        async with asyncio.timeout(20):
            await publish_until_confirmed(publisher)

    with_publisher(broker_url, scene)
    assert waiting(broker_url, "watcher") == 1


def test_an_event_that_nobody_awaits_is_published(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        event = JobEvent(job_id=1, version=1, state=State.SENT, trigger="acquired")
        await publisher.publish(Outgoing.of(event))

    with_publisher(broker_url, scene)


def test_a_broker_that_dies_fails_what_is_under_way_and_comes_back(services: Services, broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        await publish_until_confirmed(publisher)  # to connect may take long where much goes on
        services.rabbitmq.kill()
        with pytest.raises(NotPublishedError):
            await publisher.publish(kill())
        assert not publisher.is_connected
        await asyncio.to_thread(services.rabbitmq.start)
        async with asyncio.timeout(60):
            await publish_until_confirmed(publisher)

    with_publisher(broker_url, scene, confirm_timeout_s=2)


def test_no_broker_at_all_is_said_in_time_and_why() -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        with pytest.raises(NotPublishedError, match=r"away: .*Connection refused"):
            await publisher.publish(kill())
        assert publisher.trouble == "[Errno 111] Connection refused"

    with_publisher("amqp://nobody:nothing@127.0.0.1:1/%2F", scene, confirm_timeout_s=0.5)


def test_a_wrong_password_is_said(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        with pytest.raises(NotPublishedError, match="ACCESS_REFUSED"):
            await publisher.publish(kill())

    with_publisher(re.sub(r":[^:@]+@", ":wrong@", broker_url), scene, confirm_timeout_s=2)


def test_what_no_broker_takes_fails_alone(broker_url: str) -> None:
    """The channel is not closed under the others."""

    async def scene(publisher: AsyncPublisher) -> None:
        heavy = Outgoing(new_message_id(), REQUESTS, "submit", b"x" * (LARGEST_BODY + 1))
        headers = Outgoing(new_message_id(), REQUESTS, "kill", b"{}", {"reason": "x" * 200_000})
        messages = [*(kill(number) for number in range(1, 101)), heavy, headers]
        messages += [kill(number) for number in range(101, 201)]
        answers = await asyncio.gather(*map(publisher.publish, messages), return_exceptions=True)
        assert [type(answer) for answer in answers[100:102]] == [UnsendableError, UnsendableError]
        assert {*answers[:100], *answers[102:]} == {None}
        assert publisher.trouble is None

    with_publisher(broker_url, scene)
    assert waiting(broker_url, "watcher") == 200


def test_a_closed_channel_fails_what_is_under_way_with_the_reason(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        nowhere = Outgoing(new_message_id(), "panda.former", "kill", b"{}")
        with pytest.raises(NotPublishedError, match=r"no exchange 'panda\.former'"):
            await publisher.publish(nowhere)
        async with asyncio.timeout(20):
            await publish_until_confirmed(publisher)
        assert publisher.trouble is None

    with_publisher(broker_url, scene)


def test_a_blocked_broker_is_said_at_once(services: Services, broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        loop = asyncio.get_running_loop()
        await asyncio.to_thread(services.rabbitmq.control, "set_vm_memory_high_watermark", "0")
        try:
            await asyncio.gather(publisher.publish(kill()), return_exceptions=True)  # only who publishes is told
            await until(lambda: publisher.is_blocked)
            began = loop.time()
            with pytest.raises(NotPublishedError, match="the message broker is blocked: low on memory"):
                await publisher.publish(kill())
            assert loop.time() - began < 5
            assert publisher.is_connected
        finally:
            await asyncio.to_thread(services.rabbitmq.control, "set_vm_memory_high_watermark", "0.3")
        async with asyncio.timeout(20):
            await publish_until_confirmed(publisher)
        assert not publisher.is_blocked
        assert publisher.trouble is None

    with_publisher(broker_url, scene, confirm_timeout_s=60)


class Unlucky(dict[int, Any]):
    """Fails whoever looks through it."""

    looked = 0

    def items(self) -> Any:
        self.looked += 1
        raise RuntimeError("unlucky")


def test_no_error_ends_the_connecting_or_the_giving_up(broker_url: str) -> None:
    """Whatever fails once, the next try is made: else the gateway would hang until somebody looks."""

    async def scene(publisher: AsyncPublisher) -> None:
        await publish_until_confirmed(publisher)
        publisher._unconfirmed = unlucky = Unlucky()
        await until(lambda: unlucky.looked > 1)
        publisher._unconfirmed = {}
        publisher._parameters, parameters = "nonsense", publisher._parameters  # type: ignore[assignment]
        proxy.cut()
        await until(lambda: "nonsense" in (publisher.trouble or ""))
        publisher._parameters = parameters
        async with asyncio.timeout(20):
            await publish_until_confirmed(publisher)
        proxy.freeze()
        with pytest.raises(NotPublishedError, match="did not confirm within 1 s"):
            await publisher.publish(kill())
        proxy.passes()

    with Proxy(broker_url) as proxy:
        with_publisher(proxy.url, scene, confirm_timeout_s=1)


def test_a_network_that_lets_nothing_through_is_noticed_and_outlived(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        await publish_until_confirmed(publisher)
        proxy.freeze()
        with pytest.raises(NotPublishedError, match="did not confirm within 1 s"):
            await publisher.publish(kill())
        await until(lambda: not publisher.is_connected, 40)
        proxy.passes()
        async with asyncio.timeout(40):
            await publish_until_confirmed(publisher)

    with Proxy(broker_url) as proxy:
        with_publisher(proxy.url, scene, confirm_timeout_s=1)


def test_who_finds_no_room_in_time_is_told(broker_url: str) -> None:
    """What is on its way is bounded; memory too."""

    async def scene(publisher: AsyncPublisher) -> None:
        proxy.freeze()
        heavy = [Outgoing(new_message_id(), REQUESTS, "submit", b"x" * (10 << 20)) for _ in range(3)]
        answers = await asyncio.gather(*map(publisher.publish, heavy), return_exceptions=True)
        assert {type(answer) for answer in answers} == {NotPublishedError}
        assert [str(answer) for answer in answers if "too many messages wait" in str(answer)]
        proxy.passes()

    with Proxy(broker_url) as proxy:
        with_publisher(proxy.url, scene, confirm_timeout_s=2)
