"""Frames of pika: many messages leave in one write (ADR 0008), no broker gets what it refuses, deliveries are quick."""

import struct
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import Any

from pika import DeliveryMode, frame
from pika.adapters.select_connection import SelectConnection
from pika.channel import Channel
from pika.spec import (
    FRAME_BODY,
    FRAME_END,
    FRAME_END_SIZE,
    FRAME_HEADER,
    FRAME_HEADER_SIZE,
    FRAME_METHOD,
    Basic,
    BasicProperties,
)

from panda_fsm.bindings import must_route
from panda_fsm.effects import Outgoing
from panda_fsm.errors import UnsendableError
from panda_fsm.messages import LARGEST_BODY

_AROUND = FRAME_HEADER_SIZE + FRAME_END_SIZE
_JSON = "application/json"
_PERSISTENT = DeliveryMode.Persistent

# Nearly every message has no headers. This header frame is laid out here: pika takes ten times as long.
_HEADER_FRAME = struct.Struct(">BHIHHQH")
_FLAGS = BasicProperties.FLAG_CONTENT_TYPE | BasicProperties.FLAG_DELIVERY_MODE | BasicProperties.FLAG_MESSAGE_ID
_PROPERTIES = bytes([len(_JSON)]) + _JSON.encode() + bytes([_PERSISTENT.value])
_END = bytes([FRAME_END])
_FRAME = struct.Struct(">BHI")
_PUBLISH = struct.pack(">IH", Basic.Publish.INDEX, 0)
_MANDATORY = 1
_PIECE_BYTES = 64 * 1024


def encode(channel: Channel, message: Outgoing) -> bytes:
    """The frames of one basic.publish: persistent, mandatory where somebody must take it, with id and headers.

    Raises UnsendableError for what the broker would close the channel or connection for.
    """
    frame_max = channel.connection.params.frame_max
    body = message.body
    if len(body) > LARGEST_BODY:
        raise UnsendableError(f"the message has {len(body)} bytes, more than the {LARGEST_BODY} that a broker takes")
    number = channel.channel_number
    try:
        header = _header(number, message)
        method = _method(number, message.exchange, message.routing_key)
    except Exception as error:  # whatever AMQP has no place for: a long key, a value of a strange type
        raise UnsendableError(f"the message cannot be written in AMQP: {error!r}") from error
    if len(header) > frame_max:
        raise UnsendableError(f"the headers of the message have {len(header)} bytes, more than a frame of {frame_max}")
    most = frame_max - _AROUND
    frames = [method, header]
    for at in range(0, len(body), most):
        part = body[at : at + most]
        frames += (_FRAME.pack(FRAME_BODY, number, len(part)), part, _END)
    return b"".join(frames)


def _header(number: int, message: Outgoing) -> bytes:
    if message.headers is not None:
        headers = {name: str(value) if isinstance(value, float) else value for name, value in message.headers.items()}
        properties = BasicProperties(
            delivery_mode=_PERSISTENT, content_type=_JSON, headers=headers, message_id=message.message_id
        )  # pika has no floats
        return frame.Header(number, len(message.body), properties).marshal()
    name = message.message_id.encode()
    content = _PROPERTIES + bytes([len(name)]) + name
    head = _HEADER_FRAME.pack(
        FRAME_HEADER, number, 14 + len(content), Basic.INDEX, 0, len(message.body), _FLAGS
    )  # the size counts class, weight, body size and flags: 14 bytes
    return head + content + _END


@lru_cache(maxsize=256)
def _method(number: int, exchange: str, routing_key: str) -> bytes:
    """Laid out here too: keys with a task in them are so many that none is met again before it is forgotten."""
    to, key = exchange.encode(), routing_key.encode()
    content = b"%b%c%b%c%b%c" % (_PUBLISH, len(to), to, len(key), key, _MANDATORY * must_route(exchange, routing_key))
    return _FRAME.pack(FRAME_METHOD, number, len(content)) + content + _END


def write(channel: Channel, messages: Iterable[bytes]) -> None:
    """Send encoded messages with few writes. pika has no public way to: it writes three times a message.

    Larger ones would be dearer: the socket takes no more at a time, and pika copies what it left.
    """
    connection: Any = channel.connection
    pieces: list[list[bytes]] = [[]]
    weight = 0
    for message in messages:
        if weight > _PIECE_BYTES:
            pieces.append([])
            weight = 0
        pieces[-1].append(message)
        weight += len(message)
    connection._output_marshaled_frames([b"".join(piece) for piece in pieces])


class QuickConnection(SelectConnection):
    """Knows that a delivery is nobody's answer, and whose a confirm is: pika looks for who waits for it, which takes a
    third of its time, of a confirm more."""

    confirmed: Callable[[object], None] | None = None
    """Who hears of confirms instead of pika's callback."""

    def _process_callbacks(self, frame_value: frame.Frame) -> bool:
        if isinstance(frame_value, frame.Method):
            if isinstance(frame_value.method, Basic.Deliver):
                return False
            if isinstance(frame_value.method, Basic.Ack) and self.confirmed is not None:
                self.confirmed(frame_value)
                return True
        return bool(super()._process_callbacks(frame_value))  # type: ignore[misc]  # it is private
