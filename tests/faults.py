"""The faults of the crash tests: power loss, sleeping processes, broker alarms, vanished queues, held rows."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import Any

import pika
import psycopg
from pika.adapters.blocking_connection import BlockingChannel

from broker.topology import Queue, queues
from lab.rabbitmq import RabbitMQ
from lab.services import Services
from tests.driver import Database
from tests.nursery import NURSERY
from tests.processes import ROOT, Processes

_TIMES_OF_JOBS = {
    "job": ("deadline_at", "state_changed_at", "modified_at"),
    "job_deadline": ("deadline_at",),
    "job_heard": ("heard_at",),
}


def power_loss(services: Services) -> None:
    """Kill -9 of database and broker at the same moment; then both are started again."""
    with ThreadPoolExecutor(2) as pool:
        for killed in [pool.submit(services.postgres.kill), pool.submit(services.rabbitmq.kill)]:
            killed.result()
    services.start()


@contextmanager
def asleep(processes: Processes, names: Sequence[str]) -> Iterator[None]:
    """Processes that are stopped (SIGSTOP), and woken at the end."""
    found = [processes.pid(name) for name in names]
    for pid in found:
        os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        for pid in found:
            os.kill(pid, signal.SIGCONT)


@contextmanager
def memory_alarm(rabbitmq: RabbitMQ) -> Iterator[None]:
    """The broker has no memory left."""
    rabbitmq.control("set_vm_memory_high_watermark", "0")
    try:
        yield
    finally:
        rabbitmq.control("set_vm_memory_high_watermark", "0.3")


@contextmanager
def disk_alarm(rabbitmq: RabbitMQ) -> Iterator[None]:
    """The broker has no disk left."""
    rabbitmq.control("set_disk_free_limit", str(10**15))
    try:
        yield
    finally:
        rabbitmq.control("set_disk_free_limit", "200MB")


def delete_queues(broker_url: str) -> int:
    """Delete every queue, with all that is in it; returns how many messages that were."""
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        return sum(channel.queue_delete(queue.name).method.message_count or 0 for queue in queues())


def delete_and_declare_queues(broker_url: str) -> int:
    """Delete every queue and declare it again at once: its consumers may never be told; how many messages went."""
    deleted = 0
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        for queue in queues():
            deleted += channel.queue_delete(queue.name).method.message_count or 0
            declare(channel, queue)
    return deleted


def declare(channel: BlockingChannel, queue: Queue) -> None:
    """As our own programs do it."""
    channel.queue_declare(queue.name, durable=True, arguments=dict(queue.arguments))
    for exchange, key in queue.bindings:
        channel.queue_bind(queue.name, exchange, key)


def consumers(broker_url: str) -> dict[str, int]:
    """How many consumers each queue has; a queue that is not there is left out."""
    found: dict[str, int] = {}
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        for queue in queues():
            channel = connection.channel()
            try:
                answer = channel.queue_declare(queue.name, passive=True)
            except pika.exceptions.ChannelClosedByBroker:
                continue
            found[queue.name] = answer.method.consumer_count
            channel.close()
    return found


@contextmanager
def held_rows(database_url: str, query: str, parameters: Any = None) -> Iterator[None]:
    """Somebody's session holds the rows of a `SELECT ... FOR UPDATE`."""
    with psycopg.connect(database_url) as connection:
        assert connection.execute(query.encode(), parameters).fetchall(), f"no rows to hold: {query}"
        yield


def command(processes: Processes, *arguments: str, expect: int | None = 0) -> str:
    """What `panda-fsm` prints, as an operator calls it; `expect` is the exit code that is right (None: any)."""
    done = NURSERY.run(arguments, processes.environment, ROOT)
    assert expect in (None, done.returncode), done.stdout + done.stderr
    return done.stdout


def age(database: Database, seconds: float, job_ids: Sequence[int] | None = None) -> None:
    """Move the clock, by moving back all times that are kept of jobs (of all jobs, if none are named).

    Named jobs alone were silent for so long; of all jobs, nobody was there for so long, not even the daemon.
    """
    past = {"job_ids": None if job_ids is None else list(job_ids), "by": f"{seconds} s"}
    for table, columns in _TIMES_OF_JOBS.items():
        moved = ", ".join(f"{column} = {column} - %(by)s::interval" for column in columns)
        query = f"UPDATE {table} SET {moved} WHERE %(job_ids)s::bigint[] IS NULL OR job_id = ANY(%(job_ids)s)"  # noqa: S608
        database.execute(query, past)
    if job_ids is None:
        query = (
            "UPDATE pulse SET ticked_at = ticked_at - %(by)s::interval, grace_until = grace_until - %(by)s::interval"
        )
        database.execute(query, past)


def minute_passes(database: Database) -> None:
    """For those who look at what has lain about for a minute: kept requests, open blocks."""
    database.execute("UPDATE request SET sent_at = sent_at - interval '1 min'")
    database.execute(
        "UPDATE data_block SET created_at = created_at - interval '1 min' WHERE block_id = ANY(ARRAY("
        "SELECT block_id FROM data_block ORDER BY block_id FOR UPDATE))"  # in order, as everybody locks them
    )
