"""What must hold of database and broker after any trouble, and the queue that listens to everything."""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from typing import Any, Self

import pika
from pika.adapters.blocking_connection import BlockingChannel
from pika.spec import Basic

from broker.topology import queues
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.table import JOB
from panda_fsm.messages import EVENTS, REQUESTS
from tests import factories
from tests.driver import Database
from tests.polling import wait_until

_FINAL = tuple(sorted(FINAL))
HISTORY = """
SELECT h.job_id, h.version, t.event, t.source, t.destination, t.service
FROM job_history h LEFT JOIN job_transition t USING (transition_id) ORDER BY h.job_id, h.version, h.at
"""


def waiting(channel: BlockingChannel, queue: str) -> list[tuple[Basic.Deliver, pika.BasicProperties, bytes]]:
    """The messages in a queue, to be acknowledged; many times faster than to get them one by one."""
    taken: list[tuple[Basic.Deliver, pika.BasicProperties, bytes]] = []
    count = channel.queue_declare(queue, passive=True).method.message_count
    if count:
        channel.basic_qos(prefetch_count=count)  # without, a quorum queue stops at 2000
        consumer = channel.basic_consume(queue, lambda _channel, *message: taken.append(message))
        deadline = time.monotonic() + 60
        while len(taken) < count:
            assert time.monotonic() < deadline, f"{len(taken)} of {count} messages read from {queue}"
            channel.connection.process_data_events(0.2)
        channel.basic_cancel(consumer)
    return taken


class Listener:
    """A queue bound to everything, read in a thread: what was said, by message id. Outlives a broker's restart."""

    QUEUE = "test.listener"

    def __init__(self, broker_url: str) -> None:
        self._url = broker_url
        self.closed_blocks: dict[str, set[str]] = {}
        with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
            channel = connection.channel()
            channel.queue_declare(self.QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
            for exchange in (REQUESTS, EVENTS):
                channel.exchange_declare(exchange, "topic", durable=True)
                channel.queue_bind(self.QUEUE, exchange, "#")

    def drain(self) -> None:
        """Read all that is there now."""
        with pika.BlockingConnection(pika.URLParameters(self._url)) as connection:
            channel = connection.channel()
            for method, _, body in waiting(channel, self.QUEUE):
                self._hear(body)
                channel.basic_ack(method.delivery_tag or 0)

    def _hear(self, body: bytes) -> None:
        if b'"block_closed"' in body:
            message = json.loads(body)
            self.closed_blocks.setdefault(message["block"], set()).add(message["message_id"])


class Repeater:
    """Publishes every message of both exchanges a second time: at once, and those it keeps once more when told."""

    QUEUE = "test.repeater"

    def __init__(self, broker_url: str) -> None:
        self._connection = pika.BlockingConnection(pika.URLParameters(broker_url))
        self._channel = self._connection.channel()
        self._channel.queue_declare(self.QUEUE)
        for exchange in (REQUESTS, EVENTS):
            self._channel.exchange_declare(exchange, "topic", durable=True)
            self._channel.queue_bind(self.QUEUE, exchange, "#")
        self._channel.basic_consume(self.QUEUE, self._again)
        self.seen: list[tuple[str, str, bytes]] = []
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="repeater", daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join(30)
        assert not self._thread.is_alive(), "the repeater does not end"
        self._connection.close()

    def late(self, messages: list[tuple[str, str, bytes]]) -> None:
        """Everything once more, when all is over."""
        done = threading.Event()

        def publish() -> None:
            for exchange, key, body in messages:
                self._publish(exchange, key, body)
            done.set()

        self._connection.add_callback_threadsafe(publish)
        assert done.wait(60), "the repeater did not repeat"

    def _run(self) -> None:
        while not self._stop.is_set():
            self._connection.process_data_events(0.1)

    def _again(self, channel: Any, method: Any, properties: Any, body: bytes) -> None:
        if not (properties.headers or {}).get("again"):
            self.seen.append((method.exchange, method.routing_key, body))
            self._publish(method.exchange, method.routing_key, body)
        channel.basic_ack(method.delivery_tag)

    def _publish(self, exchange: str, key: str, body: bytes) -> None:
        properties = pika.BasicProperties(delivery_mode=2, headers={"again": 1})
        self._channel.basic_publish(exchange, key, body, properties)


def depths(broker_url: str) -> dict[str, int]:
    """Messages ready in each work queue that has some."""
    with pika.BlockingConnection(pika.URLParameters(broker_url)) as connection:
        channel = connection.channel()
        counts = {q.name: channel.queue_declare(q.name, passive=True).method.message_count for q in queues()}
    return {name: count for name, count in counts.items() if count}


def wait_for_end(database: Database, jobs: int, timeout_s: float = 60.0) -> None:
    """Return when this many jobs are final; fail when no more jobs end in time."""

    def all_final() -> bool:
        final: int = database.value("SELECT count(*) FROM job WHERE state = ANY(%s)", (list(_FINAL),))
        return final == jobs

    try:
        wait_until(all_final, f"{jobs} final jobs", timeout_s)
    except AssertionError as error:
        raise AssertionError(f"{error}: {database.states()}, dead letters {dead_letters(database)}") from None


def dead_letters(database: Database) -> list[tuple[Any, ...]]:
    """What lies among the dead letters."""
    return database.rows("SELECT queue, reason FROM dead_letter ORDER BY dead_letter_id")


def check_jobs(database: Database, expected: dict[int, str]) -> None:
    """Every job in its expected final state, by a history without gap or illegal step."""
    states = dict(database.rows("SELECT job_id, state FROM job"))
    wrong = Counter((expected.get(job_id), state) for job_id, state in states.items() if expected.get(job_id) != state)
    assert states == expected, (wrong, database.rows("SELECT errors::text, count(*) FROM job GROUP BY 1 LIMIT 5"))
    ends = dict(database.rows("SELECT job_id, version FROM job"))
    legal = set(JOB.rows())
    last: dict[int, tuple[int, str | None]] = {}
    for job_id, version, *step in database.rows(HISTORY):
        assert tuple(step) in legal, (job_id, version, step)
        before, state = last.get(job_id, (0, None))
        assert (version, step[1]) == (before + 1, state), (job_id, version, step, "after", before, state)
        last[job_id] = (version, step[2])
    assert last == {job_id: (ends[job_id], state) for job_id, state in states.items()}
    counts = database.rows("SELECT state, sum(jobs) FROM job_count GROUP BY state HAVING sum(jobs) <> 0")
    assert {state: int(jobs) for state, jobs in counts} == Counter(states.values())
    assert database.value("SELECT count(*) FROM job_waiting") == 0


def check_files(database: Database, expected: dict[int, str]) -> None:
    """Outputs registered once, ready with the checksum the pilot told; of failed jobs only the log.

    Who was cancelled may never have been set up: then its outputs have no block.
    """
    found: dict[str, list[tuple[Any, ...]]] = {}
    query = """SELECT f.lfn, f.status, f.size, f.checksum, b.kind
               FROM job_file f LEFT JOIN data_block b USING (block_id) WHERE f.type IN ('output', 'log')"""
    for lfn, *what in database.rows(query):
        found.setdefault(lfn, []).append(tuple(what))
    builds = {job_id for (job_id,) in database.rows("SELECT job_id FROM job WHERE label = 'panda'")}
    for job_id, state in expected.items():
        output, log = factories.output_lfns(job_id)
        kind = "destination" if job_id in builds else "sub"
        stored = ("ready", len(factories.CONTENT), factories.CHECKSUM, kind)
        failed = [("failed", 0, "", kind)]
        lost = (failed, [("failed", 0, "", None)]) if state == "cancelled" else (failed,)
        assert found.pop(log) in (([stored],) if state in ("finished", "failed") else lost), log
        assert found.pop(output) in (([stored],) if state == "finished" else lost), output
    assert not found


def check_blocks(database: Database, listener: Listener) -> None:
    """Every sub block closed with all its files, and said so once: a message published twice has the same id, which
    receivers drop."""
    blocks = dict(database.rows("SELECT name, status FROM data_block WHERE kind = 'sub'"))
    assert blocks
    assert set(blocks.values()) <= {"tobeclosed", "completed"}, "the DDM closes them, where it runs"
    assert database.value("SELECT count(*) FROM data_block WHERE kind = 'dispatch' AND status <> 'completed'") == 0
    miscounted = """SELECT b.name, b.number_files, count(f.job_id)
                    FROM data_block b LEFT JOIN job_file f USING (block_id)
                    WHERE b.kind <> 'destination' GROUP BY b.block_id HAVING b.number_files <> count(f.job_id)"""
    assert not database.rows(miscounted), database.rows(miscounted)
    listener.drain()
    said = {name: len(listener.closed_blocks.get(name, ())) for name in blocks}
    wrong = {name: times for name, times in said.items() if times != 1}
    assert not wrong, f"closed blocks, and how often that was said: {wrong}"
    assert listener.closed_blocks.keys() == blocks.keys()


def check_all(database: Database, broker_url: str, listener: Listener, expected: dict[int, str], dead: int = 0) -> None:
    """Everything that must hold after a test of chaos; waits for the last messages to be handled."""
    closed = "SELECT count(*) FROM data_block WHERE kind = 'sub' AND closed_at IS NULL"
    wait_until(lambda: database.value(closed) == 0, "all sub blocks closed")
    wait_until(lambda: database.value("SELECT count(*) FROM outbox") == 0, "an empty outbox")
    try:
        wait_until(lambda: not depths(broker_url), "empty queues")
    except AssertionError as error:
        raise AssertionError(f"{error}: {depths(broker_url)}") from None
    wait_until(lambda: database.value("SELECT count(*) FROM request") == 0, "no request kept any longer")
    quarantined = database.rows("SELECT job_id, trouble FROM job_deadline WHERE trouble IS NOT NULL")
    assert not quarantined, quarantined
    letters = dead_letters(database)
    assert len(letters) == dead, letters
    check_jobs(database, expected)
    check_files(database, expected)
    check_blocks(database, listener)
