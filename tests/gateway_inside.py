"""The whole gateway without a network: a store that a test rules, and requests as a server hands them in."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from gateway.app import create_app
from gateway.config import GatewayConfig
from gateway.http.door import WAITING, Door
from panda_fsm.claims import Claim
from panda_fsm.errors import NotPublishedError, TransientError
from panda_fsm.sites import Queue, Sites, SitesNow

HOST = b"127.0.0.1"


@dataclass
class Answered:
    """What came back; status 0 if nothing did."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""

    @property
    def json(self) -> Any:
        return orjson.loads(self.body)


class Client:
    """One request of a client that may hang up, and may send slowly."""

    def __init__(self, door: Door) -> None:
        self._door = door
        self.gone = asyncio.Event()
        self.scope: dict[str, Any] = {}

    async def ask(
        self, method: str, path: str, parts: Sequence[bytes] = (b"",), headers: Sequence[tuple[bytes, bytes]] = (),
        query: bytes = b"", told: Callable[[Any], None] = lambda _message: None,
    ) -> Answered:  # fmt: skip
        """Send it; a header of the name host replaces the usual one. `told` sees the answer while it comes."""
        answered = Answered()
        usual = [] if any(name == b"host" for name, _ in headers) else [(b"host", HOST)]
        left = list(parts)
        self.scope = {
            "type": "http", "http_version": "1.1", "method": method, "path": path, "raw_path": path.encode(),
            "query_string": query, "headers": [*usual, *headers], "client": ("127.0.0.1", 5), "scheme": "http",
        }  # fmt: skip

        async def receive() -> dict[str, Any]:
            if left:
                return {"type": "http.request", "body": left.pop(0), "more_body": bool(left)}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if self.gone.is_set():
                return
            if message["type"] == "http.response.start":
                answered.status = message["status"]
                answered.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            else:
                answered.body += message.get("body", b"")
            told(message)

        await self._door(self.scope, receive, send)
        return answered

    def hang_up(self) -> None:
        """As the server's protocol does when the connection is lost."""
        self.gone.set()
        self.scope[WAITING].leave()


class Store:
    """Every part of the store in one: all that is asked waits until it is let go, and is remembered."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.go.set()
        self.asked: list[tuple[str, Any]] = []
        self.given_up: list[str] = []

    @property
    def claims(self) -> Any:
        return self

    requests = repeats = reads = registers = keys = operators = claims

    @property
    def dashboard(self) -> Any:
        return _Nothing()

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def _wait(self, what: str, asked: Any) -> None:
        self.asked.append((what, asked))
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.given_up.append(what)
            raise

    def __getattr__(self, name: str) -> Callable[..., Awaitable[Any]]:
        if name.startswith("_"):
            raise AttributeError(name)

        async def answer(*asked: Any, **named: Any) -> Any:
            if name in ("tick", "hear", "forget_published", "settle"):
                return None
            if name == "paused_sites":
                return frozenset()
            await self._wait(name, asked)
            match name:
                case "claim_each":
                    return Claim(jobs=[None for _, seats in asked[0] for _ in seats], events=[])
                case "job_id_block" | "last_job_id_block" | "job_set_id":
                    return 1
                case "keep" | "answer_to" | "settle" | "cache_file_with":
                    return None
                case "shared_key":
                    return b"key"
                case "keep_once":
                    return [None for _ in asked[0]]
            return {}

        return answer


class _Nothing:
    """Whatever is asked of it: its database is away."""

    def __getattr__(self, name: str) -> Any:
        return self

    async def __call__(self, *asked: Any, **named: Any) -> Any:
        raise TransientError("the database is away")


class NoBroker:
    """A publisher that has none: everything is left to the relay."""

    is_connected = is_blocked = False
    trouble: str | None = None

    async def open(self) -> None: ...

    async def close(self) -> None: ...

    async def publish(self, message: Any) -> None:
        raise NotPublishedError("no broker")


QUEUE = "Q"


@asynccontextmanager
async def gateway(
    store: Store, folder: Path = Path("/nowhere"), known: SitesNow | None = None, **config: Any
) -> AsyncIterator[Door]:
    """A gateway that is open. `known`: what it knows of queues, else one."""
    sites = known or Sites(queues={QUEUE: Queue(site="S", storage="D")}, transformations=str(folder))
    door = create_app(GatewayConfig("127.0.0.1", 1, folder, **config), store, NoBroker(), sites)  # type: ignore[arg-type]
    started, ending = asyncio.Event(), asyncio.Event()

    async def receive() -> dict[str, Any]:
        if started.is_set():
            await ending.wait()
            return {"type": "lifespan.shutdown"}
        return {"type": "lifespan.startup"}

    async def send(message: Any) -> None:
        started.set()

    life = asyncio.create_task(door({"type": "lifespan", "state": {}}, receive, send))
    await started.wait()
    try:
        yield door
    finally:
        ending.set()
        with contextlib.suppress(asyncio.CancelledError):
            await life
