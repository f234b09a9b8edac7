"""Runs the gateway: one process, one event loop; SIGTERM lets requests under way finish."""

import signal

import uvicorn

from gateway.app import create_app
from gateway.config import GatewayConfig
from gateway.ports import Publisher, Store
from panda_fsm.sites import Sites

_BACKLOG = 2048
_FINISH_WITHIN_S = 15


def serve(config: GatewayConfig, store: Store, publisher: Publisher, sites: Sites) -> None:
    """Serve until SIGTERM or SIGINT. Raises SettingsError before anything listens."""
    app = create_app(config, store, publisher, sites)
    # uvicorn raises its signal again when it is done; being told to stop is no reason to die of it.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    uvicorn.run(
        app,
        host=config.host,
        port=config.port,
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
