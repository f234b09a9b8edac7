"""Queues and sites paused and resumed: messages stay where they are, and what was in hand is finished."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from broker.publish import BrokerPublisher
from consumers.watcher import Watcher
from lab.site import QUEUE
from panda_fsm.effects import Outgoing
from panda_fsm.handler import Delivery
from panda_fsm.messages import KillJob, SetPause
from panda_fsm.progress import Progress
from tests.broker_side import Consuming, consumers, kill, waiting
from tests.driver import Database
from tests.gateway_http import Caller
from tests.inprocess import LIMITS, Serve
from tests.polling import wait_until
from tests.processes import Processes
from tests.waiting_jobs import add_jobs


@pytest.fixture
def publisher(broker_url: str) -> Iterator[BrokerPublisher]:
    """It declares everything, too."""
    one = BrokerPublisher(broker_url, "test")
    one.start()
    assert one.ready.wait(30)
    yield one
    one.stop()


def pause(name: str, is_paused: bool, **fields: Any) -> SetPause:
    """A request of an operator's."""
    given = {"kind": "queue", "actor": "ana", "reason": "the storage is down"} | fields
    return SetPause(name=name, is_paused=is_paused, **given)


def paused(database: Database) -> list[Any]:
    return database.rows("SELECT kind, name, is_paused, actor, reason FROM pause ORDER BY kind, name")


def test_the_newest_word_counts_in_whatever_order_it_comes(serve: Serve, database: Database) -> None:
    first, second, third = pause("adder", True), pause("adder", False), pause("adder", True, reason="again")
    watcher = serve(Watcher(LIMITS))
    watcher.handle(second, first)
    assert paused(database) == [("queue", "adder", False, "ana", "the storage is down")]
    watcher.handle(third)
    watcher.handle(first)
    watcher.handle(pause("LAB", True, kind="site", until=datetime.now(UTC) + timedelta(hours=1)))
    assert paused(database) == [
        ("queue", "adder", True, "ana", "again"), ("site", "LAB", True, "ana", "the storage is down"),
    ]  # fmt: skip


def test_a_paused_consumer_finishes_what_it_holds_and_takes_nothing_more(
    broker_url: str, publisher: BrokerPublisher
) -> None:
    progress, may_go_on = Progress(), threading.Event()

    def work(_batch: Sequence[Delivery]) -> None:
        assert may_go_on.wait(30)

    with Consuming(broker_url, size=1, handle=work, prefetch=2, progress=progress) as consuming:
        publisher.publish([kill(number) for number in range(1, 6)], 10)
        wait_until(lambda: progress.snapshot().in_hand == 1, "one is in hand")
        progress.pause(True)
        consuming.consumer.call(may_go_on.set)  # behind what it tells the broker
        wait_until(lambda: len(consuming.handled) == 2, "what it held is handled")
        wait_until(lambda: consumers(broker_url, "watcher") == 0, "it does not consume")
        wait_until(lambda: waiting(broker_url, "watcher") == 3, "the others wait")
        done = progress.snapshot().done
        progress.pause(False)
        wait_until(lambda: len(consuming.handled) == 5, "it goes on by itself")
    assert (done.handled, done.batches) == (2, 2)
    assert len({one.body for one in consuming.handled}) == 5, "each was handled once"


def test_who_is_paused_stays_so_when_it_connects_anew(broker_url: str, publisher: BrokerPublisher) -> None:
    progress = Progress()
    progress.pause(True)
    with Consuming(broker_url, progress=progress) as consuming:
        publisher.publish([kill()], 10)
        consuming.consumer.ready.clear()
        consuming.consumer.call(lambda: consuming.consumer.reconnect("the network was away"))
        assert consuming.consumer.ready.wait(30)
        assert (consumers(broker_url, "watcher"), waiting(broker_url, "watcher")) == (0, 1)
        progress.pause(False)
        wait_until(lambda: consuming.handled, "resumed, it takes what waits")


def test_a_service_is_paused_and_resumed_by_message_with_messages_waiting(
    processes: Processes, database: Database, broker_url: str, publisher: BrokerPublisher
) -> None:
    processes.start("watcher")
    processes.start("watcher.large")
    wait_until(lambda: consumers(broker_url, "watcher") == consumers(broker_url, "watcher.large") == 1, "both consume")
    publisher.publish([Outgoing.of(pause("watcher", True))], 10)
    wait_until(lambda: consumers(broker_url, "watcher") == 0, "it stops within seconds")
    shown = "SELECT is_paused, in_hand, handled FROM process WHERE service = 'watcher'"
    wait_until(lambda: database.rows(shown) == [(True, 0, 0)], "and shows that it is paused")

    processes.restart("watcher")
    publisher.publish([Outgoing.of(KillJob(job_id=number)) for number in range(1, 11)], 10)
    wait_until(lambda: database.rows(shown) == [(True, 0, 0)], "its successor is paused from the start")
    assert (consumers(broker_url, "watcher"), waiting(broker_url, "watcher")) == (0, 10)

    publisher.publish([Outgoing.of(pause("watcher", False))], 10)
    wait_until(lambda: waiting(broker_url, "watcher") == 0, "it goes on by itself")
    work = "SELECT 1 FROM queue_work WHERE queue = 'watcher' AND handled >= 10 AND put_off = handled"
    wait_until(lambda: database.rows(work), "what it did is counted: nobody knows these jobs, so they come again")
    assert database.value("SELECT handled FROM queue_work WHERE queue = 'watcher.large'") >= 1
    assert database.value("SELECT program <> '' FROM process WHERE service = 'watcher'")


def test_a_pause_ends_by_itself(processes: Processes, serve: Serve, database: Database, broker_url: str) -> None:
    soon = datetime.now(UTC) + timedelta(seconds=1)
    serve(Watcher(LIMITS)).handle(pause("watcher", True, until=soon))
    processes.start("watcher")
    wait_until(lambda: consumers(broker_url, "watcher") == 1, "it consumes once the time has come")


def test_pilots_of_a_paused_site_get_no_jobs_until_it_is_resumed(
    gateway: Processes, pilot: Caller, serve: Serve, database_url: str
) -> None:
    add_jobs(database_url, range(1, 3))
    assert len(ask(pilot)) == 1
    serve(Watcher(LIMITS)).handle(pause(QUEUE, True, kind="site"))
    wait_until(lambda: "site_paused" in gateway.log("gateway"), "the gateway has heard of it")
    assert ask(pilot) == []
    assert pilot.post("/api/v1/pilot/update_job", {"job_id": 1, "job_status": "running"})["success"], "jobs go on"
    serve(Watcher(LIMITS)).handle(pause(QUEUE, False, kind="site"))
    wait_until(lambda: ask(pilot), "it goes on by itself")


def ask(pilot: Caller) -> list[Any]:
    """The jobs that a pilot is given."""
    data = pilot.post("/api/v1/pilot/acquire_jobs", {"site_name": QUEUE, "prod_source_label": "user"})["data"]
    return data["jobs"] if data else []
