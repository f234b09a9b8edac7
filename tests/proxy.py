"""A TCP proxy on loopback before a server: it passes, freezes, loses one direction, refuses or cuts, when told to."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
from typing import Self
from urllib.parse import urlsplit, urlunsplit

_CHUNK = 65536
_RESET = struct.pack("ii", 1, 0)
"""SO_LINGER with no time: `close` sends a reset instead of a proper end."""


class Proxy:
    """Stands before the server of an address; `url` is the same address through the proxy.

    What does not get through is not lost but held, as by a network whose packets are lost and sent again: when the
    proxy passes again, it arrives. Until then both ends see what they would see of a half-open connection: nothing.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._server = (parts.hostname or "127.0.0.1", parts.port or 0)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.url = self.url_of(url)
        self._changed = threading.Condition()
        self._requests_pass = self._replies_pass = True
        self._accepts = True
        self._closed = False
        self._pairs: set[_Pair] = set()
        self._threads: list[threading.Thread] = []
        self._run(self._accept)

    def url_of(self, url: str) -> str:
        """Another address of the same server (a database, a virtual host) through the proxy."""
        parts = urlsplit(url)
        login, at, _ = parts.netloc.rpartition("@")
        return urlunsplit(parts._replace(netloc=f"{login}{at}127.0.0.1:{self.port}"))

    @property
    def connections(self) -> int:
        """How many connections go through the proxy now."""
        with self._changed:
            return len(self._pairs)

    def passes(self) -> None:
        """Everything goes through; what was held arrives now."""
        self._set(requests=True, replies=True)

    def freeze(self) -> None:
        """Nothing goes through in either direction; connections stay open, new ones are accepted and hear nothing."""
        self._set(requests=False, replies=False)

    def lose_replies(self) -> None:
        """The server hears the client and the client hears nothing."""
        self._set(requests=True, replies=False)

    def lose_requests(self) -> None:
        """The client hears the server and the server hears nothing."""
        self._set(requests=False, replies=True)

    def cut(self) -> None:
        """Reset all present connections; new ones are treated as before."""
        with self._changed:
            pairs = list(self._pairs)
        for pair in pairs:
            self._end(pair)

    def refuse(self) -> None:
        """Cut, and reset new connections too, until `passes`."""
        self._set(requests=True, replies=True, accepts=False)
        self.cut()

    def close(self) -> None:
        """End everything, threads too."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)  # wakes the thread in `accept`
        self._listener.close()
        self.cut()
        for thread in self._threads:
            thread.join(10)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _set(self, *, requests: bool, replies: bool, accepts: bool = True) -> None:
        with self._changed:
            self._requests_pass, self._replies_pass, self._accepts = requests, replies, accepts
            self._changed.notify_all()

    def _run(self, work: object, *args: object) -> None:
        thread = threading.Thread(target=work, args=args, name="proxy", daemon=True)  # type: ignore[arg-type]
        self._threads.append(thread)
        thread.start()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return  # closed
            try:
                server = socket.create_connection(self._server, timeout=5)
            except OSError:
                _reset(client)
                continue
            server.settimeout(None)
            self._join(_Pair(client, server))

    def _join(self, pair: _Pair) -> None:
        for end in (pair.client, pair.server):
            end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        with self._changed:
            welcome = self._accepts and not self._closed
            self._pairs.add(pair)
        if not welcome:
            self._end(pair)
            return
        self._run(self._pump, pair, pair.client, pair.server)
        self._run(self._pump, pair, pair.server, pair.client)

    def _pump(self, pair: _Pair, source: socket.socket, sink: socket.socket) -> None:
        """Carry one direction, as long as it passes."""
        try:
            while True:
                data = source.recv(_CHUNK)
                with self._changed:
                    self._changed.wait_for(lambda: pair.ended or self._passing(pair, source))
                    if pair.ended:
                        return
                if not data:
                    sink.shutdown(socket.SHUT_WR)
                    break
                sink.sendall(data)
        except OSError:
            self._end(pair)
            return
        with self._changed:
            pair.done += 1
            both_directions = pair.done == 2
        if both_directions:
            self._end(pair)

    def _passing(self, pair: _Pair, source: socket.socket) -> bool:
        return self._requests_pass if source is pair.client else self._replies_pass

    def _end(self, pair: _Pair) -> None:
        with self._changed:
            pair.ended = True
            self._pairs.discard(pair)
            self._changed.notify_all()
        _reset(pair.client)
        _reset(pair.server)


class _Pair:
    """The two ends of one connection."""

    def __init__(self, client: socket.socket, server: socket.socket) -> None:
        self.client = client
        self.server = server
        self.ended = False
        self.done = 0


def _reset(end: socket.socket) -> None:
    """Close with a reset, also under a thread that reads from it: it would not notice `close` alone."""
    with contextlib.suppress(OSError):
        end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
    with contextlib.suppress(OSError):
        end.shutdown(socket.SHUT_RD)  # to shut writing down too would send a proper end first
    end.close()
