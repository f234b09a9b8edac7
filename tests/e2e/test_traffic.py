"""`make traffic` against the real system: jobs end well and badly, poison becomes a dead letter, its end is clean."""

from __future__ import annotations

import asyncio
import random

import pytest

from broker.publish import BrokerPublisher
from lab import traffic
from lab.traffic_line import Line
from panda_fsm.effects import Outgoing
from panda_fsm.messages import new_message_id
from tests.driver import Database
from tests.polling import wait_until
from tests.processes import Processes

pytestmark = pytest.mark.e2e

ENDED = 30


def test_traffic_flows_goes_wrong_and_ends(
    processes: Processes, database: Database, broker_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What it counts is what the database says; nobody keeps a job when it is over."""
    for name, value in (("_POISON_EVERY_S", 0.5), ("_SILENT", 0.0), ("_MOVING", 0.0), ("_NOWHERE", 0.0)):
        monkeypatch.setattr(traffic, name, value)
    processes.start_each()
    processes.wait_until_ready(60)
    publisher = BrokerPublisher(broker_url, "traffic")
    publisher.start()

    def publish(body: bytes, queue: str) -> bool:
        return bool(publisher.publish([Outgoing(new_message_id(), "", queue, body)], 10).confirmed)

    async def flow() -> traffic.Counts:
        ending = asyncio.Event()
        line = Line(int(processes.gateway_url.rpartition(":")[2]), ending)
        playing = traffic.Traffic(line, processes.lab, 20, ending, random.Random(3))
        running = asyncio.create_task(playing.run(publish))
        counts = playing.counts
        while not running.done():
            if min(counts.finished.total(), counts.failed.total(), 10 * counts.poison) >= ENDED:
                ending.set()
            await asyncio.sleep(0.1)
        await running
        line.close()
        assert line.refused == 0, line.trouble
        return counts

    try:
        counts = asyncio.run(asyncio.wait_for(flow(), 120))
    finally:
        publisher.stop()
    ended = "SELECT count(*) FROM job WHERE state IN ('finished', 'failed')"
    wait_until(lambda: database.value(ended) >= counts.finished.total() + counts.failed.total(), "all reports arrive")
    assert database.value("SELECT count(*) FROM job WHERE state IN ('sent', 'starting', 'running')") == 0
    wait_until(lambda: database.value("SELECT count(*) FROM dead_letter") == counts.poison, "poison is buried")
