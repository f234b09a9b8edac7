"""The application: the door with the routes of the table, connections opened at start and closed at the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from starlette.applications import Starlette

from gateway.config import GatewayConfig
from gateway.context import Gateway
from gateway.dashboard.forms import ASKING, FORMS
from gateway.http.door import Door
from gateway.http.openapi import document
from gateway.ports import Publisher, Store
from gateway.table import ROUTES
from panda_fsm.sites import SitesNow


def create_app(config: GatewayConfig, store: Store, publisher: Publisher, sites: SitesNow) -> Door:
    """The whole gateway. Raises SettingsError when identities cannot be trusted here."""
    gateway = Gateway(config, store, publisher, sites)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await gateway.open()
        door.open()
        try:
            yield
        finally:
            await door.close()
            await gateway.close()

    app = Starlette(lifespan=lifespan)
    app.state.openapi = document(ROUTES)
    door = Door(app, gateway, (*ROUTES, *ASKING, *FORMS))
    return door
