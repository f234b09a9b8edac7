"""Encodes published messages so that many of them leave in one write (ADR 0008)."""

from collections.abc import Iterable
from functools import lru_cache
from typing import Any

from pika import frame
from pika.channel import Channel
from pika.spec import FRAME_END_SIZE, FRAME_HEADER_SIZE, Basic, BasicProperties

from panda_fsm.effects import Outgoing


class _Persistent(BasicProperties):
    """Nearly every message has these properties only, so they are encoded once."""

    def __init__(self) -> None:
        super().__init__(delivery_mode=2, content_type="application/json")
        self._encoded = super().encode()

    def encode(self) -> list[bytes]:
        return list(self._encoded)


_PERSISTENT = _Persistent()


def encode(channel: Channel, message: Outgoing, mandatory: bool) -> bytes:
    """The frames of one basic.publish: persistent, with the message's headers."""
    number = channel.channel_number
    properties: BasicProperties = _PERSISTENT
    if message.headers is not None:
        properties = BasicProperties(delivery_mode=2, content_type="application/json", headers=message.headers)
    body = message.body
    frames = [
        _publish_frame(number, message.exchange, message.routing_key, mandatory),
        frame.Header(number, len(body), properties).marshal(),
    ]
    most = channel.connection.params.frame_max - FRAME_HEADER_SIZE - FRAME_END_SIZE
    frames += [frame.Body(number, body[at : at + most]).marshal() for at in range(0, len(body), most)]
    return b"".join(frames)


@lru_cache(maxsize=256)
def _publish_frame(number: int, exchange: str, routing_key: str, mandatory: bool) -> bytes:
    method = Basic.Publish(exchange=exchange, routing_key=routing_key, mandatory=mandatory)
    return frame.Method(number, method).marshal()


def write(channel: Channel, messages: Iterable[bytes]) -> None:
    """Send encoded messages with one write. pika has no public way to: it writes three times a message."""
    connection: Any = channel.connection
    connection._output_marshaled_frames([b"".join(messages)])
