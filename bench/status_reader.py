"""A JEDI that costs nearly nothing: it takes all that comes from the status queues, and looks into it afterwards."""

from __future__ import annotations

import multiprocessing
import signal
import socket
import struct
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from multiprocessing.sharedctypes import Synchronized
from typing import Any, NamedTuple

import orjson
import pika
from pika import spec
from pika.frame import Method

from bench.plant import BenchError
from broker.connection import parameters

_HEADER = struct.Struct(">BHI")
_AROUND = spec.FRAME_HEADER_SIZE + spec.FRAME_END_SIZE
_DELIVER = struct.pack(">HH", spec.Basic.Deliver.INDEX >> 16, spec.Basic.Deliver.INDEX & 0xFFFF)
_HELD = 4000
"""Deliveries that it may have unacknowledged: it looks rarely, and acknowledges all that came with one word."""
_PAUSE_S = 0.05
_CHUNK = 4 * 1024 * 1024
_LINGER_S = 1.0
"""What comes twice comes a moment later."""
_WAIT_S = 60.0


class Told(NamedTuple):
    """A job_status as it came."""

    job_id: int
    seq: int
    status: str
    is_whole: bool
    """Of a final one: whether it says what became of the files."""


class StatusReader:
    """The consumer's process, and how far it is."""

    def __init__(self, pipe: Connection, taken: Synchronized[int]) -> None:
        self._pipe = pipe
        self._taken = taken

    @property
    def taken(self) -> int:
        """So many job_status came, and were acknowledged."""
        return self._taken.value

    def told(self) -> list[Told]:
        """All job_status in the order in which they came; it takes nothing afterwards."""
        self._pipe.send("end")
        return [Told(*one) for one in _answer(self._pipe)]


@contextmanager
def reading(broker_url: str, queues: Sequence[str]) -> Iterator[StatusReader]:
    """While the block lasts, a process of its own drains these queues."""
    spawning = multiprocessing.get_context("spawn")
    here, there = spawning.Pipe()
    taken: Synchronized[int] = spawning.Value("q", 0, lock=False)
    process = spawning.Process(target=_read, args=(broker_url, list(queues), there, taken), daemon=True)
    process.start()
    try:
        _answer(here)
        yield StatusReader(here, taken)
    finally:
        process.terminate()
        process.join()


def _answer(pipe: Connection) -> Any:
    if not pipe.poll(_WAIT_S):
        raise BenchError("the reader of status queues does not answer")
    return pipe.recv()


def _read(broker_url: str, queues: Sequence[str], pipe: Connection, taken: Synchronized[int]) -> None:
    """In the process: take all until we are told to end, then say what it was."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the one who started us
    asked = parameters(broker_url, "bench.statuses")
    asked.heartbeat = 0
    connection = pika.BlockingConnection(asked)
    channel = connection.channel()
    channel.basic_qos(prefetch_count=_HELD)
    for queue in queues:
        channel.basic_consume(queue, lambda *_: None)
    deliveries = _Deliveries(_socket_of(connection), int(channel.channel_number))
    pipe.send("ready")
    while not pipe.poll(_PAUSE_S):
        deliveries.take()
        taken.value = deliveries.statuses
    time.sleep(_LINGER_S)
    deliveries.take()
    pipe.send(list(_statuses(deliveries.bodies)))
    pipe.recv()  # nothing comes: whoever asked ends us


def _socket_of(connection: pika.BlockingConnection) -> socket.socket:
    """Pika reads four kilobytes at a time, and looks at each frame for long: from here on we read by ourselves."""
    inside: Any = connection
    found: socket.socket = inside._impl._transport._sock
    found.setblocking(False)
    return found


class _Deliveries:
    """Bodies, cut out of the frames that come."""

    def __init__(self, connected: socket.socket, channel: int) -> None:
        self._socket = connected
        self._channel = channel
        self._rest = b""
        self.bodies: list[bytes] = []
        self.statuses = 0

    def take(self) -> None:
        """All that is there, and one acknowledgement for it."""
        while True:
            try:
                came = self._socket.recv(_CHUNK)
            except BlockingIOError:
                return
            if not came:
                raise BenchError("the broker closed the connection of the reader of status queues")
            tag = self._walk(self._rest + came)
            if tag:
                self._socket.sendall(Method(self._channel, spec.Basic.Ack(tag, multiple=True)).marshal())

    def _walk(self, data: bytes) -> int:
        """The last delivery whose body is complete; what is left of the data comes first the next time."""
        at = whole = tag = last = 0
        bodies: list[bytes] = []
        while at + _AROUND <= len(data):
            kind, _channel, size = _HEADER.unpack_from(data, at)
            begin, end = at + spec.FRAME_HEADER_SIZE, at + _AROUND + size
            if end > len(data):
                break
            if kind == spec.FRAME_BODY:  # a status has one: it is smaller than a frame
                bodies.append(data[begin : end - 1])
                last, whole = tag, end
            elif kind == spec.FRAME_METHOD and data.startswith(_DELIVER, begin):
                after = begin + 5 + data[begin + 4]
                tag = int.from_bytes(data[after : after + 8], "big")
            at = end
        self._rest = data[whole:]
        self.bodies += bodies
        self.statuses += sum(map(_is_status, bodies))
        return last


def _is_status(body: bytes) -> bool:
    return body.startswith(b'{"msg_type":"job_status"')


def _statuses(bodies: Sequence[bytes]) -> Iterator[tuple[int, int, str, bool]]:
    for body in bodies:
        if _is_status(body):
            told = orjson.loads(body)
            yield told["jobid"], told["seq"], told["status"], all(one["fileid"] for one in told.get("files", ()))


def wait_taken(reader: StatusReader, count: int, deadline: float) -> None:
    """Return when so many job_status came. Raises BenchError when they do not before the deadline."""
    while reader.taken < count:
        if time.monotonic() > deadline:
            raise BenchError(f"{reader.taken} of {count} statuses were read")
        time.sleep(0.02)
