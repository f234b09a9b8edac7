"""The proxy of the tests does what its modes say, or the tests that use it prove nothing."""

from __future__ import annotations

import contextlib
import socket
import threading
from collections.abc import Iterator

import pytest

from tests.polling import wait_until
from tests.proxy import Proxy


class Echo:
    """A server that answers what it hears, and remembers it."""

    def __init__(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"echo://me:secret@127.0.0.1:{self._listener.getsockname()[1]}/here"
        self.heard = b""
        self._threads = [threading.Thread(target=self._accept, daemon=True)]
        self._threads[0].start()

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                end, _ = self._listener.accept()
                self._threads.append(threading.Thread(target=self._serve, args=(end,), daemon=True))
                self._threads[-1].start()

    def _serve(self, end: socket.socket) -> None:
        with end, contextlib.suppress(OSError):
            while data := end.recv(1000):
                self.heard += data
                end.sendall(data)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(5)


@pytest.fixture
def echo() -> Iterator[Echo]:
    server = Echo()
    yield server
    server.close()


@pytest.fixture
def proxy(echo: Echo) -> Iterator[Proxy]:
    with Proxy(echo.url) as standing:
        yield standing


@pytest.fixture
def client(proxy: Proxy) -> Iterator[socket.socket]:
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as end:
        yield end


def hears(client: socket.socket, timeout_s: float = 5) -> bytes:
    """What comes, or nothing."""
    client.settimeout(timeout_s)
    try:
        return client.recv(1000)
    except TimeoutError:
        return b"nothing"


def test_it_passes_and_its_address_is_the_servers_with_another_port(proxy: Proxy, client: socket.socket) -> None:
    assert proxy.url == f"echo://me:secret@127.0.0.1:{proxy.port}/here"
    client.sendall(b"hello")
    assert hears(client) == b"hello"
    assert proxy.connections == 1


def test_frozen_it_holds_both_directions_until_it_passes(proxy: Proxy, echo: Echo, client: socket.socket) -> None:
    proxy.freeze()
    client.sendall(b"hello")
    assert hears(client, 0.2) == b"nothing"
    assert echo.heard == b""
    proxy.passes()
    assert hears(client) == b"hello"


def test_replies_are_lost_while_requests_pass(proxy: Proxy, echo: Echo, client: socket.socket) -> None:
    proxy.lose_replies()
    client.sendall(b"hello")
    wait_until(lambda: echo.heard == b"hello", "the server hears")
    assert hears(client, 0.2) == b"nothing"


def test_requests_are_lost(proxy: Proxy, echo: Echo, client: socket.socket) -> None:
    proxy.lose_requests()
    client.sendall(b"hello")
    assert hears(client, 0.2) == b"nothing"
    assert echo.heard == b""


def test_cut_connections_are_reset_and_new_ones_pass(proxy: Proxy, client: socket.socket) -> None:
    client.sendall(b"hello")
    assert hears(client) == b"hello"
    proxy.cut()
    with pytest.raises(ConnectionResetError):
        client.recv(1)
    assert proxy.connections == 0
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as again:
        again.sendall(b"again")
        assert hears(again) == b"again"


def test_refused_means_new_ones_too(proxy: Proxy, client: socket.socket) -> None:
    proxy.refuse()
    with pytest.raises(ConnectionError), socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as again:
        again.recv(1)
    proxy.passes()
    with socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as again:
        again.sendall(b"again")
        assert hears(again) == b"again"


def test_an_end_is_passed_on(proxy: Proxy, client: socket.socket) -> None:
    client.sendall(b"bye")
    client.shutdown(socket.SHUT_WR)
    assert hears(client) == b"bye"
    assert hears(client) == b""
    wait_until(lambda: proxy.connections == 0, "nothing is left of it")


def test_a_server_that_is_away_is_a_reset(echo: Echo) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with (
        Proxy(f"echo://127.0.0.1:{port}/") as proxy,
        pytest.raises(ConnectionResetError),
        socket.create_connection(("127.0.0.1", proxy.port), timeout=5) as end,
    ):
        end.recv(1)
