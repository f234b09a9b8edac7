"""The gateway's pulse: while nobody listens, no pilot is silent; the daemon reads here that somebody does."""

import asyncio

import structlog

from gateway.ports import RequestStore
from panda_fsm.jobs.facts import HEARTBEAT_PERIOD_S

log = structlog.get_logger()

NAME = "gateway"
"""One row for all gateways: a pilot finds the ones that live."""
_EVERY_S = 5.0


class Pulse:
    """Ticks until it is stopped, whatever happens to the database."""

    def __init__(self, store: RequestStore, every_s: float = _EVERY_S) -> None:
        self._store = store
        self._every_s = every_s
        self._beating: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tick now, and again and again."""
        self._beating = asyncio.create_task(self._beat())

    async def stop(self) -> None:
        """No tick from now on."""
        if self._beating is not None:
            self._beating.cancel()
            await asyncio.gather(self._beating, return_exceptions=True)

    async def _beat(self) -> None:
        while True:
            try:
                await self._store.tick(NAME, HEARTBEAT_PERIOD_S)
            except Exception as error:  # nothing may end it: without a pulse every silence looks like ours
                log.warning("no_pulse", error=str(error))
            await asyncio.sleep(self._every_s)
