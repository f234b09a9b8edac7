"""What spans of messages say, by OpenTelemetry's names: which message, which job, which service, where."""

import time
from collections.abc import Collection, Sequence
from typing import Any

from panda_fsm.effects import Outgoing
from panda_fsm.handler import Delivery
from panda_fsm.log_ids import few, named_in
from panda_fsm.ports import Published, Publisher
from panda_fsm.tracing import TRACEPARENT, TRACING, Role


def of_delivery(delivery: Delivery, message_id: str, job_ids: Sequence[int], together: int) -> dict[str, Any]:
    """A message that is handled, with so many in its batch."""
    return {
        **_messaging("process", "process", message_id, job_ids),
        "messaging.destination.name": f"{delivery.exchange}:{delivery.routing_key}",
        "messaging.batch.message_count": together,
        "panda.service": delivery.queue,
    }


def publish(publisher: Publisher, messages: Sequence[Outgoing], timeout_s: float, service: str) -> Published:
    """Publish a window, with a span for each message that belongs to a trace."""
    if TRACING.tracer is None:
        return publisher.publish(messages, timeout_s)
    began_ns = time.time_ns()
    published = publisher.publish(messages, timeout_s)
    note(messages, {message.message_id for message in published.confirmed}, service, began_ns)
    return published


def note(messages: Sequence[Outgoing], confirmed: Collection[str], service: str, began_ns: int) -> None:
    """Spans of messages that were on their way to the broker since then."""
    if TRACING.tracer is None:
        return
    for message in messages:
        parent = message.headers.get(TRACEPARENT) if message.headers else None
        if parent is not None:
            attributes = {
                **_messaging("publish", "send", message.message_id, named_in(message.body).get("job_ids", ())),
                "messaging.destination.name": f"{message.exchange}:{message.routing_key}",
                "panda.service": service,
            }
            name = f"publish {message.exchange or message.routing_key}"
            span = TRACING.tracer.begin(name, Role.PRODUCER, parent, attributes, began_ns)
            span.end(None if message.message_id in confirmed else "not confirmed by the broker")


def _messaging(operation: str, kind: str, message_id: str, job_ids: Sequence[int]) -> dict[str, Any]:
    said: dict[str, Any] = {
        "messaging.system": "rabbitmq",
        "messaging.operation.name": operation,
        "messaging.operation.type": kind,
        "messaging.message.id": message_id,
    }
    if len(job_ids) == 1:
        return said | {"messaging.message.conversation_id": str(job_ids[0]), "panda.job_id": job_ids[0]}
    return said | {"panda.job_ids": few(job_ids)} if job_ids else said
