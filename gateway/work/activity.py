"""How often pilots ask for jobs, by queue: counted here and written down now and then, for JEDI is told of it."""

import asyncio
from collections import Counter

import structlog

from gateway.ports import RequestStore

log = structlog.get_logger()

_EVERY_S = 10.0


class Activity:
    """What was counted and not written down yet is lost with the process: it is a rough number."""

    def __init__(self, store: RequestStore, every_s: float = _EVERY_S) -> None:
        self._store = store
        self._every_s = every_s
        self._asked: Counter[str] = Counter()
        self._writing: asyncio.Task[None] | None = None

    def asked(self, site: str) -> None:
        """A pilot of this queue asks for a job."""
        self._asked[site] += 1

    def start(self) -> None:
        self._writing = asyncio.create_task(self._write())

    async def stop(self) -> None:
        if self._writing is not None:
            self._writing.cancel()
            await asyncio.gather(self._writing, return_exceptions=True)

    async def _write(self) -> None:
        while True:
            await asyncio.sleep(self._every_s)
            counted, self._asked = self._asked, Counter()
            try:
                if counted:
                    await self._store.count_asked(counted)
            except Exception as error:
                self._asked += counted
                log.warning("not_counted", error=str(error))
