"""Runs the gateway: one process, one event loop; SIGTERM lets requests under way finish."""

import signal

import uvicorn

from gateway.app import create_app
from gateway.ports import Publisher, Store
from command.settings import Settings
from panda_fsm.sites import Sites

_BACKLOG = 2048
_FINISH_WITHIN_S = 15


def serve(settings: Settings, store: Store, publisher: Publisher, sites: Sites, needed_schema: str = "") -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError before anything listens."""
    app = create_app(settings, store, publisher, sites, needed_schema)
    # uvicorn raises its signal again when it is done; being told to stop is no reason to die of it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvicorn.run(
        app,
        host=settings.gateway_host,
        port=settings.gateway_port,
        loop="uvloop",
        http="httptools",
        ws="none",
        lifespan="on",
        access_log=False,
        log_config=None,
        server_header=False,
        proxy_headers=False,
        backlog=_BACKLOG,
        timeout_keep_alive=75,
        timeout_graceful_shutdown=_FINISH_WITHIN_S,
    )
