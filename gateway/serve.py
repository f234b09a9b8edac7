"""Runs the gateway: one process, one event loop; told to end, it says so, serves on a little, and finishes."""

import asyncio
import contextlib
import logging
import os
import resource
import socket
from functools import partial

import uvicorn

from gateway.app import create_app
from gateway.config import GatewayConfig
from gateway.http.door import Door
from gateway.http.protocol import BoundedProtocol, Limits, look_at_all
from gateway.ports import Publisher, Store
from gateway.work.load import Load
from panda_fsm.sites import SitesNow

_BACKLOG = 2048
_FINISH_WITHIN_S = 25
"""Uploads under way have so long; a supervisor that waits 30 s does not cut them."""
_TICK_S, _LAST_S = 0.1, 0.3
_MOST_CONNECTIONS = 10_000
_OTHER_FILES = 64
"""Database, broker, logs."""
logging.getLogger("uvicorn.error").setLevel(logging.ERROR)  # what it refuses we write down ourselves


class Server(uvicorn.Server):
    """uvicorn's server, which also looks at its connections, and goes in two steps."""

    def __init__(self, config: uvicorn.Config, door: Door, drain_s: float) -> None:
        super().__init__(config)
        self._door = door
        self._drain_s = drain_s
        self._load = Load()

    def capture_signals(self) -> contextlib.AbstractContextManager[None]:  # type: ignore[override]  # what it returns
        """None: who serves the process hears them from its start, and one that came while we started would be lost."""
        return contextlib.nullcontext()

    def end(self) -> None:
        """Drain, and leave `run`; from a signal handler, at any time."""
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        self._load.tick()
        if counter % 10 == 0:
            look_at_all(self.server_state.connections, asyncio.get_running_loop().time())
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """First those who ask whether we are ready hear that we are not, and go elsewhere; then nobody is heard."""
        self._door.drain()
        await self._serve_for(self._drain_s)
        for listener in (one for server in self.servers for one in server.sockets):
            # Whoever stands in the queue of the closed socket would be reset: it is made short, then emptied.
            with socket.socket(fileno=os.dup(listener.fileno())) as same:
                same.listen(0)
        await self._serve_for(min(self._drain_s, _LAST_S))
        await super().shutdown(sockets)

    async def _serve_for(self, seconds: float) -> None:
        for counter in range(round(seconds / _TICK_S)):
            await self.on_tick(counter)
            await asyncio.sleep(_TICK_S)


def server(
    config: GatewayConfig, store: Store, publisher: Publisher, sites: SitesNow, limits: Limits | None = None
) -> Server:
    """What serves from its `run` to its `end`. Raises SettingsError."""
    door = create_app(config, store, publisher, sites)
    connections, spare = _descriptors()
    chosen = uvicorn.Config(
        door,
        host=config.host,
        port=config.port,
        loop="uvloop",
        http=partial(BoundedProtocol, limits or Limits(connections)),  # type: ignore[arg-type]  # called as the class would be
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=min(_BACKLOG, spare),
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_FINISH_WITHIN_S,
    )
    return Server(chosen, door, config.drain_s)


def _descriptors() -> tuple[int, int]:
    """How many connections there may be, and how many more can be told that they are too many."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    files = _MOST_CONNECTIONS * 2 if hard == resource.RLIM_INFINITY else hard
    spare = min(_BACKLOG, max(_OTHER_FILES, files // 4))
    return max(_OTHER_FILES, min(_MOST_CONNECTIONS, files - spare - _OTHER_FILES)), spare
