"""Measure 2: the time a lone job takes from submit to finished, with a pilot that reacts at once."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pika
from pika.adapters.blocking_connection import BlockingChannel

from bench.figures import spread
from bench.plant import BenchError, Plant
from bench.server_side import Load
from bench.traffic import Claimant
from bench.verify import check_jobs, hops
from broker.connection import parameters
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.states import State
from panda_fsm.messages import EVENTS, JobEvent, decode

WARM_UP = 5
"""Jobs sent first and not counted: connections, caches and prepared statements are cold only once."""
_PAUSE_S = 0.1
"""Between jobs, so that each is alone: services take a stream of messages for load, and gather larger batches."""
_PATIENCE_S = 30.0


@dataclass(slots=True)
class Outcome:
    """Milliseconds from before the submission was published until `job.finished` was received, job by job."""

    times_ms: list[float]
    hops: dict[str, Any]

    def as_json(self) -> dict[str, Any]:
        """For the details of the result."""
        return {"jobs": len(self.times_ms), **spread(self.times_ms), "hops": self.hops}


def measure(plant: Plant, load: Load) -> Outcome:
    """Send the jobs one after another; each waits until the one before has finished."""
    times_ms = []
    with asyncio.Runner() as runner, _InstantPilot(plant, runner) as pilot:
        for submission, job_id in zip(load.submissions, load.job_ids, strict=True):
            time.sleep(_PAUSE_S)
            started = time.perf_counter()
            pilot.publish([submission])
            pilot.await_state(job_id, State.ACTIVATED)
            pilot.claim(job_id)
            for report in load.reports[job_id]:
                pilot.publish([report])
            pilot.await_state(job_id, State.FINISHED)
            times_ms.append((time.perf_counter() - started) * 1000)
    check_jobs(plant, load.job_ids)
    return Outcome(times_ms[WARM_UP:], hops(plant, load.task_id))


class _InstantPilot:
    """Hears of each event through a queue of its own, claims at once, and reports each state confirmed, in turn."""

    def __init__(self, plant: Plant, runner: asyncio.Runner) -> None:
        self._plant = plant
        self._runner = runner
        self._claimant = Claimant(plant, 1)

    def __enter__(self) -> _InstantPilot:
        self._runner.run(self._claimant.open())
        self._connection = pika.BlockingConnection(parameters(self._plant.broker_url, "bench"))
        self._sending = self._connection.channel()
        self._sending.confirm_delivery()
        self._events = self._hear(self._connection.channel())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._connection.close()
        self._runner.run(self._claimant.close())

    def publish(self, messages: list[Outgoing]) -> None:
        """Returns when the broker has confirmed."""
        properties = pika.BasicProperties(delivery_mode=2, content_type="application/json")
        for message in messages:
            self._sending.basic_publish(message.exchange, message.routing_key, message.body, properties, mandatory=True)

    def await_state(self, job_id: int, state: State) -> None:
        """Return when the job's event has come."""
        for event in self._events:
            if event.job_id == job_id and event.state is state:
                return

    def claim(self, job_id: int) -> None:
        """Take the one job that waits, and send its event as the gateway does."""
        claim = self._runner.run(self._claimant.claim(1))
        if claim.jobs[0] is None or claim.jobs[0].job_id != job_id:
            raise BenchError(f"job {job_id} was activated but could not be claimed")
        for event in claim.events:
            self._sending.basic_publish(event.exchange, event.routing_key, event.body)
        self._runner.run(self._claimant.forget(claim.events))

    @staticmethod
    def _hear(channel: BlockingChannel) -> Iterator[JobEvent]:
        """Events of activation and end. Bound before it returns, so that none is missed."""
        queue = channel.queue_declare("", exclusive=True).method.queue
        for state in (State.ACTIVATED, State.FINISHED):
            channel.queue_bind(queue, EVENTS, f"job.{state}")

        def events() -> Iterator[JobEvent]:
            for method, _properties, body in channel.consume(queue, auto_ack=True, inactivity_timeout=_PATIENCE_S):
                if method is None or body is None:
                    raise BenchError(f"no event within {_PATIENCE_S:.0f} s")
                event = decode(body)
                if isinstance(event, JobEvent):
                    yield event

        return events()
