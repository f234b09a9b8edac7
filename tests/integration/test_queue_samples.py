"""The daemon asks the real broker what waits, and the views tell how old the oldest is and who serves it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from typing import TypeVar

import pytest

from broker.inspection import DepthReader
from broker.publish import BrokerPublisher
from panda_fsm.bindings import jedi_bindings
from panda_fsm.errors import TransientError
from panda_fsm.views.queues import QueueNow, watched
from periodic.queues import Sampler
from sql.duty import WorkerSession
from sql.pool import Pool
from sql.queue_samples import QueueSamples
from sql.views.queues import QueueReads
from tests.broker_side import channel_of, kill
from tests.driver import Database
from tests.polling import wait_until

Found = TypeVar("Found")
JEDIS = jedi_bindings(["vo"], 1)


@pytest.fixture
def publisher(broker_url: str) -> Iterator[BrokerPublisher]:
    one = BrokerPublisher(broker_url, "test", None, JEDIS)
    one.start()
    assert one.ready.wait(30)
    yield one
    one.stop()


class Look:
    """A daemon's sampler, time that goes by, and what is seen then."""

    def __init__(self, database_url: str, broker_url: str, database: Database) -> None:
        self.url = database_url
        self.database = database
        self.sampler = self.clock(broker_url)
        self.broker_url = broker_url

    def clock(self, broker_url: str) -> Sampler:
        return Sampler(QueueSamples(WorkerSession(self.url, 30)), DepthReader(broker_url), watched(JEDIS))

    def passes(self, seconds: float) -> None:
        """Everything that was seen was seen earlier."""
        self.database.execute(
            "UPDATE queue_sample SET at = at - make_interval(secs => %(s)s),"
            " oldest_at = oldest_at - make_interval(secs => %(s)s)",
            {"s": seconds},
        )

    def ask(self, look: Callable[[QueueReads], Awaitable[Found]]) -> Found:
        async def asked() -> Found:
            pool = Pool(self.url, "look", 1, 10, by_index=False)
            await pool.open()
            try:
                return await look(QueueReads(pool))
            finally:
                await pool.close()

        return asyncio.run(asked())

    def now(self) -> dict[str, QueueNow]:
        return {one.name: one for one in self.ask(QueueReads.now)}


@pytest.fixture
def look(database_url: str, broker_url: str, database: Database) -> Iterator[Look]:
    one = Look(database_url, broker_url, database)
    yield one
    one.sampler.rest()


def put(publisher: BrokerPublisher, count: int) -> None:
    assert len(publisher.publish([kill(number) for number in range(1, count + 1)], 10).confirmed) == count


def test_what_waits_is_seen_with_the_age_of_the_oldest(
    look: Look, publisher: BrokerPublisher, broker_url: str, database: Database
) -> None:
    assert look.now()["watcher"].as_of is None
    look.sampler.look()
    look.passes(60)
    put(publisher, 100)

    def seen() -> bool:
        """The broker counts a moment later."""
        look.sampler.look()
        look.passes(10)
        return look.now()["watcher"].ready == 100

    wait_until(seen, "all are seen")
    found = look.now()
    assert (found["watcher"].oldest_s or 0) > 8
    assert (found["watcher"].word, found["setupper"].word) == ("nobody serves it", "nobody serves it")
    assert found["panda.delay"].ready == found["jedi.status.vo.0"].ready == found["dead_letters"].ready == 0
    assert set(found) == {one.name for one in watched(JEDIS)}

    database.execute("INSERT INTO queue_work VALUES ('watcher', 60, 2, 3)")
    with channel_of(broker_url) as channel:
        for _ in range(60):
            channel.basic_get("watcher", auto_ack=True)
    look.sampler.look()
    watcher = look.now()["watcher"]
    assert (watcher.ready, watcher.buried, watcher.put_off) == (40, 2, 3)
    assert watcher.out_per_s
    assert (look.ask(lambda reads: reads.hour("watcher")).steps[-1].ready or 0) >= 40


def test_a_missing_queue_is_said_and_the_others_are_seen(
    look: Look, publisher: BrokerPublisher, broker_url: str
) -> None:
    with channel_of(broker_url) as channel:
        channel.queue_delete("adder")
        channel.queue_delete("panda.delay.1")
    look.sampler.look()
    found = look.now()
    assert (found["adder"].ready, found["adder"].word) == (None, "nobody serves it") or found["adder"].word == "missing"
    assert (found["watcher"].ready, found["panda.delay"].ready) == (0, 0)


def test_of_two_clocks_one_looks_and_a_new_one_knows_what_was(
    look: Look, publisher: BrokerPublisher, database: Database
) -> None:
    look.sampler.look()
    other = look.clock(look.broker_url)
    other.look()
    rounds = "SELECT count(DISTINCT at) FROM queue_sample"
    assert database.value(rounds) == 1, "it was looked at just now"
    look.passes(600)
    put(publisher, 5)

    def is_seen() -> bool:
        look.passes(10)
        other.look()
        return look.now()["watcher"].ready == 5

    wait_until(is_seen, "the other one looks")
    assert not look.now()["watcher"].was_there, "from what the first one saw"
    other.rest()


def test_of_two_hours_and_more_a_sample_a_minute_is_left(look: Look, publisher: BrokerPublisher) -> None:
    look.database.execute(
        "INSERT INTO queue_sample (queue, at, ready, consumers, of_minute)"
        " SELECT 'watcher', now() - make_interval(mins => m, secs => s), 0, 1, s = 0"
        " FROM unnest(ARRAY[10, 121, 1441]) AS m, unnest(ARRAY[0, 5]) AS s"
    )
    look.sampler.look()
    ages = "SELECT extract(epoch FROM now() - at)::int / 60 FROM queue_sample WHERE queue = 'watcher' ORDER BY at"
    assert [age for (age,) in look.database.rows(ages)] == [121, 10, 10, 0]


def test_a_broker_that_is_away_is_told_and_asked_again(look: Look, broker_url: str) -> None:
    reader = DepthReader("amqp://guest:guest@127.0.0.1:1/")
    with pytest.raises(TransientError):
        reader.depths(["watcher"])
    with pytest.raises(TransientError):
        reader.depths(["watcher"])
    reader.close()
