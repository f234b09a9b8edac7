"""A message as the broker hands it over becomes a delivery, with what its headers say of its way here."""

from collections.abc import Mapping
from typing import Any

from pika.spec import Basic, BasicProperties

from panda_fsm.bindings import DEAD, DEAD_LETTERS, JEDI_REQUESTS
from panda_fsm.delays import as_sent
from panda_fsm.handler import Delivery, letter_replayed
from panda_fsm.tracing import TRACEPARENT, carried


def delivery(queue: str, method: Basic.Deliver, properties: BasicProperties, body: bytes) -> Delivery:
    """The delivery of a message that came from `queue`."""
    headers: Mapping[str, Any] = properties.headers or {}
    if not headers and queue != DEAD_LETTERS:  # as most messages come, and each is worth its microseconds
        return Delivery(
            method.delivery_tag or 0, body, queue, method.exchange or "", str(method.routing_key), headers={},
            user_id=properties.user_id, reply_to=properties.reply_to, content_encoding=properties.content_encoding,
        )  # fmt: skip
    # Who sent it first is in the headers of what comes back from a delay, which nobody else puts into a queue himself.
    noted = {} if method.exchange else headers
    return Delivery(
        tag=method.delivery_tag or 0,
        body=as_sent(body, headers),
        queue=_died_in(method, headers) if queue == DEAD_LETTERS else queue,
        exchange=method.exchange or "",
        routing_key=str(headers.get("key") or method.routing_key),
        retries=_count(headers, "retries"),
        waiting_since=_seconds(headers.get("waiting_since")),
        # RabbitMQ 4 counts apart how often it handed a message out and how often that failed.
        deliveries=max(_count(headers, "x-delivery-count"), _count(headers, "x-acquired-count")),
        headers={str(key): str(value) for key, value in headers.items()},
        user_id=properties.user_id or _text(noted, "user_id"),
        reply_to=properties.reply_to or _text(noted, "reply_to"),
        content_encoding=properties.content_encoding or _text(noted, "content_encoding"),
        replay_of=None if _came_by(method, headers) else letter_replayed(headers),
        traceparent=carried(headers).get(TRACEPARENT),
    )


def _came_by(method: Basic.Deliver, headers: Mapping[str, Any]) -> str:
    """The exchange that its sender named. Who names none may write into every queue, so it is one of ours."""
    deaths = headers.get("x-death")
    if method.exchange == DEAD and isinstance(deaths, list) and deaths:
        return str(deaths[0].get("exchange"))
    return method.exchange or ""


def _died_in(method: Basic.Deliver, headers: Mapping[str, Any]) -> str:
    """What the broker gave up on belongs to the queue it died in last; or to the one that was missing."""
    if method.exchange == JEDI_REQUESTS:  # it died nowhere yet, whatever its sender put into its headers
        return JEDI_REQUESTS
    deaths = headers.get("x-death")
    return str(deaths[0].get("queue")) if isinstance(deaths, list) and deaths else DEAD_LETTERS


def _text(headers: Mapping[str, Any], name: str) -> str | None:
    value = headers.get(name)
    return value if isinstance(value, str) else None


def _count(headers: Mapping[str, Any], name: str) -> int:
    value = headers.get(name, 0)
    return value if isinstance(value, int) else 0


def _seconds(value: object) -> float | None:
    try:
        return float(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
