"""Everything that the routes work with, put together once at start."""

from gateway.work.claims import Claims
from gateway.access.identity import IdentityProvider, provider
from gateway.work.ids import JobIds
from gateway.ports import Publisher, Store
from gateway.work.reports import Reports
from gateway.work.requests import Requests
from command.settings import Settings
from panda_fsm.sites import Sites


class Gateway:
    """The parts of one gateway process. Raises SettingsError when identities cannot be trusted here."""

    def __init__(
        self, settings: Settings, store: Store, publisher: Publisher, sites: Sites, needed_schema: str
    ) -> None:
        self.settings = settings
        self.store = store
        self.publisher = publisher
        self.sites = sites
        self.needed_schema = needed_schema
        self.identities: IdentityProvider = provider(settings.identity_provider, settings.gateway_host)
        self.claims = Claims(store, publisher)
        self.requests = Requests(store, publisher)
        self.reports = Reports(store, self.requests)
        self.job_ids = JobIds(store)

    async def open(self) -> None:
        """Connect; requests that come before wait for the connections."""
        await self.store.open()
        await self.publisher.open()

    async def close(self) -> None:
        """Let what was accepted finish, then disconnect."""
        await self.claims.drain()
        await self.publisher.close()
        await self.store.close()
