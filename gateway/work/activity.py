"""What pilots ask for and are given, by queue: counted here and written down now and then, for JEDI and operators."""

import asyncio
from collections import defaultdict

import structlog

from gateway.ports import RequestStore
from panda_fsm.claims import Filters, SiteAsks

log = structlog.get_logger()

_EVERY_S = 10.0


class Activity:
    """What was counted and not written down yet is lost with the process: these are rough numbers."""

    def __init__(self, store: RequestStore, every_s: float = _EVERY_S) -> None:
        self._store = store
        self._every_s = every_s
        self._sites: defaultdict[str, SiteAsks] = defaultdict(SiteAsks)
        self._writing: asyncio.Task[None] | None = None

    def asked(self, site: str) -> None:
        """A pilot of this queue asks for a job."""
        self._sites[site].asks += 1

    def answered(self, filters: Filters, jobs: int) -> None:
        """A pilot that can take such jobs was given so many."""
        self._sites[filters.site].answered(filters, jobs)

    def start(self) -> None:
        self._writing = asyncio.create_task(self._write())

    async def stop(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            counted, self._sites = self._sites, defaultdict(SiteAsks)
            try:
                if counted:
                    await self._store.count_asked(counted)
            except Exception as error:
                for site, later in self._sites.items():
                    counted[site].join(later)
                self._sites = counted
                log.warning("not_counted", error=str(error))
