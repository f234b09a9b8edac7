"""Measure 5: what PostgreSQL and RabbitMQ could do if nobody had to think: the same rows, the same messages, bare."""

from __future__ import annotations

import json
import multiprocessing
import signal
import time
from collections.abc import Sequence
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, LiteralString

import pika
import psycopg
from psycopg import sql as statements

from bench import jobs
from bench.plant import BenchError, Plant
from broker.connection import parameters
from broker.consume import BatchConsumer
from broker.publish import BrokerPublisher
from broker.topology import queues
from panda_fsm.codes import Verdict
from panda_fsm.effects import Outgoing
from panda_fsm.handler import Delivery
from panda_fsm.jobs.states import State
from panda_fsm.messages import JobEvent, OutputsAdded
from plugins.experiments.bunches import JOBS_PER_SUB_BLOCK
from sql.migrate import migrate

BATCH = 200
DATABASE = "panda_raw"
QUEUE = "bench.raw"
_WAIT_S = 60.0


@dataclass(frozen=True, slots=True)
class _Step:
    """One transaction a batch: what is written, and the step it is in the history, if any."""

    name: str
    source: str | None = None
    destination: str | None = None
    version: int = 0
    sends: bool = True


_STEPS = (
    _Step("submitted", None, "defined", 1),
    _Step("inputs_at_site", "defined", "activated", 2),
    _Step("acquired", "activated", "sent", 3),
    _Step("pilot_starting", "sent", "starting", 4),
    _Step("pilot_running", "starting", "running", 5),
    _Step("pilot_ended", "running", "holding", 6),
    _Step("outputs_added"),
    _Step("outputs_done", "holding", "finished", 7),
    _Step("blocks_closed", sends=False),
)


def sql_lifecycles_per_s(plant: Plant, count: int) -> float:
    """Lifecycles a second that one process writes into a database of the same schema on the same server."""
    plant.database.execute(statements.SQL("CREATE DATABASE {}").format(statements.Identifier(DATABASE)))
    url = plant.system.services.postgres.url_of(DATABASE)
    migrate(url)
    queries = _queries()
    with psycopg.connect(url, autocommit=True, prepare_threshold=0) as connection:
        started = time.monotonic()
        for first in range(1, count + 1, BATCH):
            for step in _STEPS:
                _take(connection, queries, step, first)
        took_s = time.monotonic() - started
        found = connection.execute(
            "SELECT (SELECT count(*) FROM job WHERE state = 'finished'), (SELECT count(*) FROM job_history),"
            " (SELECT count(*) FROM job_file WHERE status = 'ready' AND (block_id IS NOT NULL OR seq = 0)),"
            " (SELECT count(*) FROM data_block WHERE status = 'tobeclosed'), (SELECT count(*) FROM outbox)"
        ).fetchone()
    if found != (count, 7 * count, 3 * count, 2 * count // JOBS_PER_SUB_BLOCK, 0):
        raise BenchError(f"the raw lifecycles are not the engine's: {found}")
    return count / took_s


def _take(connection: psycopg.Connection, queries: dict[str, list[LiteralString]], step: _Step, first: int) -> None:
    """One transaction for one batch, and another that forgets its messages, as the engine does after publishing."""
    values = {
        "first": first, "last": first + BATCH - 1, "step": step.name, "source": step.source,
        "destination": step.destination, "version": step.version, **_VALUES,
    }  # fmt: skip
    names = [step.name, *(["note_step"] if step.version else []), *(["note_message"] if step.sends else [])]
    with connection.transaction():
        for statement in (statement for name in names for statement in queries[name]):
            connection.execute(statement, values)
    if step.sends:
        with connection.transaction():
            for statement in queries["forget_message"]:
                connection.execute(statement, values)


def _queries() -> dict[str, list[LiteralString]]:
    """The statements of limits.sql by name, one at a time: only so can the server keep them prepared."""
    text = (Path(__file__).parent / "limits.sql").read_text()
    found: dict[str, list[LiteralString]] = {}
    for part in text.split("-- name: ")[1:]:
        name, _, body = part.partition("\n")
        found[name.strip()] = [one for one in body.split(";\n") if one.strip()]
    return found


def message_cycle() -> list[bytes]:
    """The messages of one lifecycle that reach a queue, as often as they do; submissions are one in a hundred jobs."""
    draft = jobs.draft(1_000_000, 1)
    event: dict[str, Any] = {
        "job_id": draft.job_id, "site": draft.site, "vo": draft.vo, "task_id": 1, "cause": "0" * 36,
    }  # fmt: skip
    sent: list[Outgoing] = [
        *jobs.reports(draft.job_id),
        Outgoing.of(JobEvent(**event, version=1, state=State.DEFINED, trigger="submitted")),
        Outgoing.of(JobEvent(**event, version=6, state=State.HOLDING, previous=State.RUNNING, trigger="pilot_ended")),
        Outgoing.of(OutputsAdded(job_id=draft.job_id, version=6, verdict=Verdict.FINISHED)),
    ]
    reached = [pair for queue in queues() for pair in queue.bindings]
    return [one.body for one in sent for pair in reached if pair == (one.exchange, one.routing_key)]


def broker_messages_per_s(plant: Plant, bodies: Sequence[bytes], count: int) -> float:
    """Messages a second through one quorum queue: published with confirms by one process, consumed by another."""
    _declare(plant.broker_url)
    here, there = multiprocessing.get_context("spawn").Pipe()
    consumer = multiprocessing.get_context("spawn").Process(
        target=_consume, args=(plant.broker_url, count, there), daemon=True
    )
    consumer.start()
    publisher = BrokerPublisher(plant.broker_url, "bench")
    publisher.start()
    try:
        _await(here, "the consumer is not ready")
        publisher.ready.wait(_WAIT_S)
        started = time.monotonic()
        for first in range(0, count, BATCH):
            window = [
                Outgoing(str(number), "", QUEUE, bodies[number % len(bodies)])
                for number in range(first, min(count, first + BATCH))
            ]
            if len(publisher.publish(window, _WAIT_S).confirmed) < len(window):
                raise BenchError("the broker did not confirm all of the raw messages")
        _await(here, "the raw messages were not all consumed")
        return count / (time.monotonic() - started)
    finally:
        publisher.stop()
        consumer.terminate()
        consumer.join()


def _await(pipe: Connection, otherwise: str) -> None:
    if not pipe.poll(_WAIT_S):
        raise BenchError(otherwise)
    pipe.recv()


def _declare(broker_url: str) -> None:
    connection = pika.BlockingConnection(parameters(broker_url, "bench"))
    connection.channel().queue_declare(QUEUE, durable=True, arguments={"x-queue-type": "quorum"})
    connection.close()


def _consume(broker_url: str, count: int, pipe: Connection) -> None:
    """In a process of its own: take that many messages in batches, acknowledge them, and say so."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    left = count

    def handle(batch: Sequence[Delivery]) -> None:
        nonlocal left
        left -= len(batch)
        if left <= 0:
            consumer.end()

    consumer = BatchConsumer(broker_url, QUEUE, BATCH, handle)
    pipe.send("ready")
    consumer.run()
    pipe.send("done")


_VALUES = {
    "spec": json.dumps(jobs.draft(1_000_000, 1).spec),
    "pilot": json.dumps({"node": "wn042.bench", "pilot_id": "bench|slurm|PR|3.11.5.1", "core_count": 1}),
    "report": jobs.stored_files(1_000_000),
    "body": message_cycle()[3].decode(),
}
