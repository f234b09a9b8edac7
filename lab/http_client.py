"""A lean HTTP client on raw sockets, so that the load takes as little of the measured machine as it can."""

from __future__ import annotations

import asyncio
from typing import cast

_HOST = "127.0.0.1"
_END_OF_HEAD = b"\r\n\r\n"
_CLOSE = b"\r\nConnection: close" + _END_OF_HEAD
_LENGTH = b"content-length:"


class HttpConnection(asyncio.Protocol):
    """One kept-alive connection; one request at a time."""

    def __init__(self) -> None:
        self._transport: asyncio.Transport | None = None
        self._received = bytearray()
        self._answer: asyncio.Future[tuple[int, bytes]] | None = None

    @classmethod
    async def open(cls, port: int) -> HttpConnection:
        """Connect to a loopback port."""
        _transport, protocol = await asyncio.get_running_loop().create_connection(cls, _HOST, port)
        return protocol

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Send a whole request; returns status and body. Raises ConnectionError when the server hangs up."""
        if self._transport is None:
            raise ConnectionError("not connected")
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(request)
        return await self._answer

    def close(self) -> None:
        """Hang up."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(ConnectionError(f"the server hung up: {exc}"))

    def data_received(self, data: bytes) -> None:
        self._received += data
        head_ends = self._received.find(_END_OF_HEAD)
        if head_ends < 0 or self._answer is None:
            return
        length_at = self._received[:head_ends].lower().find(_LENGTH) + len(_LENGTH)
        length_ends = self._received.find(b"\r\n", length_at)
        body_at = head_ends + len(_END_OF_HEAD)
        ends = body_at + int(self._received[length_at:length_ends])
        if len(self._received) >= ends:
            answer = int(self._received[9:12]), bytes(self._received[body_at:ends])
            self._received.clear()
            if not self._answer.done():  # whoever asked may have gone
                self._answer.set_result(answer)


class OneRequestEach:
    """Opens a connection for each request, as the real pilot does."""

    def __init__(self, port: int) -> None:
        self._port = port

    async def send(self, request: bytes) -> tuple[int, bytes]:
        """Connect, send a whole request, hang up; returns status and body."""
        connection = await HttpConnection.open(self._port)
        try:
            return await connection.send(request.replace(_END_OF_HEAD, _CLOSE, 1))
        finally:
            connection.close()


def post(path: str, body: bytes, token: str, encoding: str = "") -> bytes:
    """A request with a JSON body, complete."""
    encoded = f"Content-Encoding: {encoding}\r\n" if encoding else ""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: {_HOST}\r\nAuthorization: Bearer {token}\r\nAccept: application/json\r\n"
        f"Content-Type: application/json\r\n{encoded}Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
