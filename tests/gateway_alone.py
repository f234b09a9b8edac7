"""A real gateway process over a store in memory: what is between a client and the routes, and nothing behind them.

Asked for the status of job 1 the store stops answering, asked for that of job 2 it goes on.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from command import log
from gateway.config import GatewayConfig
from gateway.http.protocol import Limits
from gateway.serve import server
from lab import ports
from lab.daemon import Daemon
from panda_fsm.sites import Queue, Sites
from tests.gateway_inside import QUEUE, NoBroker, Store
from tests.polling import wait_until

ROOT = Path(__file__).resolve().parent.parent
STOP, GO = 1, 2


class Told(Store):
    """Stops and goes on as it is told over HTTP."""

    async def jobs(self, job_ids: Any) -> Any:
        if job_ids == [STOP]:
            self.go.clear()
        elif job_ids == [GO]:
            self.go.set()
        else:
            await self._wait("jobs", job_ids)
        return {}


class Alone:
    """A running gateway."""

    def __init__(self, daemon: Daemon, port: int) -> None:
        self.daemon = daemon
        self.port = port
        self.answered: list[int] = []

    def connect(self) -> socket.socket:
        """A connection; nothing is waited for longer than ten seconds."""
        return socket.create_connection(("127.0.0.1", self.port), 10)

    def send(self, request: bytes) -> bytes:
        """The whole answer to raw bytes, until the gateway closes."""
        with self.connect() as connection:
            connection.sendall(request)
            return everything(connection)

    def post(self, path: str, body: bytes, more: str = "") -> bytes:
        """The whole answer to a POST."""
        return self.send(request("POST", path, body, more))

    def told(self, job_id: int) -> None:
        """Tell the store something."""
        answer = self.send(request("GET", f"/api/v1/pilot/get_job_status?job_ids={job_id}"))
        assert b" 200 " in answer.splitlines()[0], answer

    def lines(self) -> list[dict[str, Any]]:
        """What it has logged; every line is JSON."""
        return [json.loads(line) for line in self.daemon.log.read_text().splitlines()]


def request(method: str, path: str, body: bytes = b"", more: str = "", close: bool = True) -> bytes:
    """The bytes of a request."""
    ending = "Connection: close\r\n" if close else ""
    head = f"{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\n{ending}Content-Length: {len(body)}\r\n{more}\r\n"
    return head.encode() + body


def everything(connection: socket.socket) -> bytes:
    """What comes until the other side closes."""
    came = b""
    while part := connection.recv(65536):
        came += part
    return came


@contextmanager
def alone(
    directory: Path, limits: dict[str, Any] | None = None, files: int | None = None, **config: Any
) -> Iterator[Alone]:
    """A gateway process with these limits and settings, and so many file descriptors."""
    port = ports.pick()
    daemon = Daemon("gateway", directory)
    command = [sys.executable, "-m", "tests.gateway_alone", str(port), json.dumps(limits), json.dumps(config)]
    if files is not None:
        command = ["prlimit", f"--nofile={files // 2}:{files}", *command]
    daemon.start(command, dict(os.environ), cwd=ROOT)
    gateway = Alone(daemon, port)
    try:
        wait_until(lambda: _listens(gateway) or not daemon.is_running, "it listens")
        yield gateway
    finally:
        daemon.kill()
        print(daemon.log_tail())


def _listens(gateway: Alone) -> bool:
    try:
        return b" 200 " in gateway.send(request("GET", "/livez"))
    except OSError:
        return False


def main(port: str, limits: str, config: str) -> None:
    """The process itself."""
    log.configure("gateway")
    chosen = json.loads(limits)
    serving = server(
        GatewayConfig("127.0.0.1", int(port), Path(), **json.loads(config)), Told(), NoBroker(),  # type: ignore[arg-type]
        Sites(queues={QUEUE: Queue(site="S", storage="D")}), None if chosen is None else Limits(**chosen),
    )  # fmt: skip
    signal.signal(signal.SIGTERM, lambda _number, _frame: serving.end())
    serving.run()


if __name__ == "__main__":
    main(*sys.argv[1:])
