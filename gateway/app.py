"""The application: routes from the table, connections opened at start and closed at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute

from gateway.answers import failure
from gateway.context import Gateway
from gateway.endpoint import endpoint
from gateway.openapi import document
from gateway.ports import Publisher, Store
from gateway.table import ROUTES
from panda_fsm.settings import Settings
from panda_fsm.sites import Sites


def create_app(
    settings: Settings, store: Store, publisher: Publisher, sites: Sites, needed_schema: str = ""
) -> Starlette:
    """The whole gateway. `needed_schema` is the schema version below which it is not ready."""
    gateway = Gateway(settings, store, publisher, sites, needed_schema)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await gateway.open()
        try:
            yield
        finally:
            await gateway.close()

    app = Starlette(
        routes=[
            StarletteRoute(route.path, endpoint(gateway, route), methods=[route.method], name=route.path)
            for route in ROUTES
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refused},
    )
    # A redirect counts as failure with every client.
    app.router.redirect_slashes = False
    app.state.openapi = document(ROUTES)
    return app


async def _refused(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return failure(f"{request.method} {request.scope['path'][:200]} is not served here", status)
