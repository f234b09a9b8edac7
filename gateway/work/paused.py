"""Sites that operators paused: their pilots get no jobs. Looked up now and then, so that no request asks for it."""

import asyncio

import structlog

from gateway.ports import ClaimStore

log = structlog.get_logger()

_EVERY_S = 2.0


class PausedSites:
    """Those of the last look; while the database is away nothing changes, and nothing is handed out anyway."""

    def __init__(self, store: ClaimStore, every_s: float = _EVERY_S) -> None:
        self._store = store
        self._every_s = every_s
        self._sites: frozenset[str] = frozenset()
        self._looking: asyncio.Task[None] | None = None

    def __contains__(self, site: str) -> bool:
        return site in self._sites

    def start(self) -> None:
        """Look now, and again and again."""
        self._looking = asyncio.create_task(self._look())

    async def stop(self) -> None:
        """Look no more."""
        if self._looking is not None:
            self._looking.cancel()
            await asyncio.gather(self._looking, return_exceptions=True)

    async def _look(self) -> None:
        while True:
            try:
                found = await self._store.paused_sites()
            except Exception as error:  # nothing may end it: a site would stay as it is for ever
                log.warning("pauses_not_known", error=str(error))
            else:
                self._note(found)
            await asyncio.sleep(self._every_s)

    def _note(self, found: frozenset[str]) -> None:
        for site in sorted(found ^ self._sites):
            log.info("site_paused" if site in found else "site_resumed", site=site)
        self._sites = found
