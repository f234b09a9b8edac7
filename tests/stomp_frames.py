"""A plain STOMP connection, a frame at a time: no threads, nothing that mends or hides what the broker says."""

from __future__ import annotations

import socket
from types import TracebackType
from typing import NamedTuple, Self
from urllib.parse import unquote, urlsplit


class Frame(NamedTuple):
    """What the broker said."""

    command: str
    headers: dict[str, str]
    body: bytes


class Stomp:
    """Logged in to the virtual host of the address while the `with` block lasts."""

    def __init__(self, url: str) -> None:
        self._url = urlsplit(url)
        self._socket = socket.create_connection((self._url.hostname or "", self._url.port or 0), timeout=20)
        self._read = b""

    def say(self, command: str, body: bytes = b"", /, **headers: str) -> None:
        """Send a frame; an underscore in the name of a header is a hyphen."""
        lines = [command, *(f"{name.replace('_', '-')}:{value}" for name, value in headers.items())]
        self._socket.sendall("\n".join([*lines, f"content-length:{len(body)}", "", ""]).encode() + body + b"\0")

    def hear(self) -> Frame:
        """The next frame, of which no body may hold a zero byte."""
        while b"\0" not in self._read:
            more = self._socket.recv(65536)
            assert more, "the broker hung up"
            self._read += more
        frame, _, self._read = self._read.lstrip(b"\n").partition(b"\0")
        head, _, body = frame.partition(b"\n\n")
        command, *lines = head.decode().split("\n")
        return Frame(command, dict(line.split(":", 1) for line in lines), body)

    def ask(self, command: str, body: bytes = b"", /, **headers: str) -> Frame:
        """Send a frame and hear what became of it."""
        self.say(command, body, receipt="asked", **headers)
        return self.hear()

    def __enter__(self) -> Self:
        user, password = self._url.username or "", self._url.password or ""
        place = {"host": unquote(self._url.path[1:]), "login": user, "passcode": password}
        self.say("CONNECT", accept_version="1.2", **place)
        assert self.hear().command == "CONNECTED"
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()
