"""The gateway's publisher on a real broker: an answer means confirmed, anything else is said in time."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Awaitable, Callable

import pika
import pytest

from broker.async_publisher import AsyncPublisher
from lab.services import Services
from panda_fsm.effects import Outgoing
from panda_fsm.errors import NotPublishedError
from panda_fsm.events import JobEvent, KillJob
from panda_fsm.states import State


def kill(job_id: int = 1) -> Outgoing:
    """A request that somebody must take."""
    return Outgoing.of(KillJob(job_id=job_id))


async def publish_until_confirmed(publisher: AsyncPublisher) -> None:
    """As who repeats a request that was not accepted."""
    while True:
        with contextlib.suppress(NotPublishedError):
            return await publisher.publish(kill())


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


def count(broker_url: str, queue: str) -> int:
    """Messages that lie in a queue."""
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        return int(connection.channel().queue_declare(queue, passive=True).method.message_count)


def test_a_thousand_at_once_are_confirmed(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        await asyncio.gather(*(publisher.publish(kill(number)) for number in range(1, 1001)))
        assert publisher.is_connected

    with_publisher(broker_url, scene)
    assert count(broker_url, "watcher") == 1000


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
    assert count(broker_url, "watcher") == 1


def test_an_event_that_nobody_awaits_is_published(broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        event = JobEvent(job_id=1, version=1, state=State.SENT, trigger="acquired")
        await publisher.publish(Outgoing.of(event))

    with_publisher(broker_url, scene)


def test_a_broker_that_dies_fails_what_is_under_way_and_comes_back(services: Services, broker_url: str) -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        await publisher.publish(kill())
        services.rabbitmq.kill()
        with pytest.raises(NotPublishedError):
            await publisher.publish(kill())
        assert not publisher.is_connected
        await asyncio.to_thread(services.rabbitmq.start)
        async with asyncio.timeout(60):
            await publish_until_confirmed(publisher)

    with_publisher(broker_url, scene, confirm_timeout_s=2)


def test_no_broker_at_all_is_said_in_time() -> None:
    async def scene(publisher: AsyncPublisher) -> None:
        with pytest.raises(NotPublishedError, match="away"):
            await publisher.publish(kill())

    with_publisher("amqp://nobody:nothing@127.0.0.1:1/%2F", scene, confirm_timeout_s=0.5)
