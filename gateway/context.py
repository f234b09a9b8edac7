"""Everything that the routes work with, put together once at start."""

import asyncio

from gateway.access.identity import IdentityProvider
from gateway.access.loopback import provider
from gateway.access.sessions import Seals
from gateway.config import GatewayConfig
from gateway.dashboard.board import Board
from gateway.dashboard.events import Events
from gateway.http.documents import Documents
from gateway.ports import Publisher, Store
from gateway.work.activity import Activity
from gateway.work.claims import Claims
from gateway.work.idempotency import Idempotency
from gateway.work.ids import JobIds
from gateway.work.paused import PausedSites
from gateway.work.publishing import Publishing
from gateway.work.pulse import Pulse
from gateway.work.readiness import Readiness
from gateway.work.reports import Reports
from gateway.work.requests import Requests
from gateway.work.sandboxes import Directory, Sandboxes
from panda_fsm.sites import SitesNow


class Gateway:
    """The parts of one gateway process. Raises SettingsError when identities cannot be trusted here."""

    def __init__(self, config: GatewayConfig, store: Store, publisher: Publisher, sites: SitesNow) -> None:
        self.config = config
        self.store = store
        self.publisher = publisher
        self.sites = sites
        self.documents = Documents()
        self.draining = False
        """It was told to end, and serves those who have not heard of it."""
        self.identities: IdentityProvider = provider(config.identity_provider, config.host)
        self.seals = Seals(store.keys)
        self._publishing = Publishing(publisher, store.requests.leave)
        self._pulse = Pulse(store.requests)
        self.activity = Activity(store.requests)
        self.claims = Claims(store.claims, self._publishing, config.log_steps)
        self.paused = PausedSites(store.claims)
        self.requests = Requests(store.requests, self._publishing)
        self.idempotency = Idempotency(store.repeats, self._publishing)
        self.sandboxes: Sandboxes = Directory(config.cache_dir)
        self.readiness = Readiness(store, publisher, config.needed_schema, config.services)
        self.reports = Reports(store.requests, self.requests)
        self.job_ids = JobIds(store.requests)
        self.board = Board(store.dashboard, publisher, config, sites)
        self.events = Events(store.dashboard.marks.now)

    async def open(self) -> None:
        """Connect; requests that come before wait for the connections."""
        await asyncio.to_thread(self.sandboxes.sweep)
        await self.store.open()
        await self.publisher.open()
        self._pulse.start()
        self.activity.start()
        self.paused.start()

    def drain(self) -> None:
        """It was told to end: who asks whether it is ready hears so, and what has no end ends."""
        self.draining = True
        self.events.end()

    async def close(self) -> None:
        """Let what was accepted leave, then disconnect."""
        await self.events.close()
        await self.board.close()
        await self._pulse.stop()
        await self.activity.stop()
        await self.paused.stop()
        await self.claims.drain()
        await self.idempotency.drain()
        await self._publishing.drain()
        await self.publisher.close()
        await self.store.close()
