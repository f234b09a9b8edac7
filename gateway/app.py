"""The application: routes from the table, connections opened at start and closed at the end."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route as StarletteRoute
from starlette.types import Receive, Scope, Send

from gateway.config import GatewayConfig
from gateway.context import Gateway
from gateway.http.answers import failure
from gateway.http.endpoint import Endpoint, endpoint
from gateway.http.openapi import document
from gateway.ports import Publisher, Store
from gateway.table import ROUTES
from panda_fsm.sites import Sites


class ExactPaths:
    """Answers paths without parameters by one look-up; all others, and what is not served, by Starlette.

    Starlette tries its routes one after another and wraps each request in three layers of error handling that
    `endpoint` does not need: a tenth of a pilot's request.
    """

    def __init__(self, app: Starlette, endpoints: Mapping[tuple[str, str], Endpoint]) -> None:
        self._app = app
        self._endpoints = endpoints

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        found = self._endpoints.get((scope.get("method", ""), scope.get("path", "")))
        if found is None:
            await self._app(scope, receive, send)
            return
        scope["app"] = self._app
        response = await found(Request(scope, receive, send))
        await response(scope, receive, send)


def create_app(config: GatewayConfig, store: Store, publisher: Publisher, sites: Sites) -> ExactPaths:
    """The whole gateway. Raises SettingsError when identities cannot be trusted here."""
    gateway = Gateway(config, store, publisher, sites)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await gateway.open()
        try:
            yield
        finally:
            await gateway.close()

    endpoints = [(route, endpoint(gateway, route)) for route in ROUTES]
    app = Starlette(
        routes=[
            StarletteRoute(route.path, answer, methods=[route.method], name=route.path) for route, answer in endpoints
        ],
        lifespan=lifespan,
        exception_handlers={HTTPException: _refused},
    )
    # A redirect counts as failure with every client.
    app.router.redirect_slashes = False
    app.state.openapi = document(ROUTES)
    return ExactPaths(app, {(route.method, route.path): answer for route, answer in endpoints})


async def _refused(request: Request, error: Exception) -> Response:
    """No such path, or not with this method."""
    status = error.status_code if isinstance(error, HTTPException) else 500
    return failure(f"{request.method} {request.scope['path'][:200]} is not served here", status)
