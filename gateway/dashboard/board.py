"""What pages look with: the store, and for a second what others have just seen, so that many viewers cost one look."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass
from typing import Any, TypeVar

from gateway.config import GatewayConfig
from gateway.dashboard.ports import DashboardStore, Publisher
from panda_fsm.sites import SitesNow
from panda_fsm.views.system import Broker

Seen = TypeVar("Seen")
_MOST = 500
"""Views that are kept; with other filters each is another one."""
AGE_S = 1.0


@dataclass(frozen=True, slots=True)
class _Look:
    at: float
    task: "asyncio.Task[Any]"


class Board:
    """The parts that pages need, and the views of the last second."""

    def __init__(
        self, store: DashboardStore, publisher: Publisher | None, config: GatewayConfig, sites: SitesNow
    ) -> None:
        """`publisher`: None where nothing is published from, as in a terminal."""
        self.store = store
        self.publisher = publisher
        self.config = config
        self.sites = sites
        self._looks: dict[Hashable, _Look] = {}

    @property
    def broker(self) -> Broker | None:
        """The broker as this process meets it; None where it meets none."""
        one = self.publisher
        return None if one is None else Broker(one.is_connected, one.is_blocked, one.trouble)

    async def shared(self, key: Hashable, look: Callable[[], Awaitable[Seen]], age_s: float = AGE_S) -> Seen:
        """What `look` finds, or has found for somebody else at most `age_s` ago; who comes meanwhile waits with it.

        It is looked on though whoever asked first has gone.
        """
        now = asyncio.get_running_loop().time()
        known = self._looks.get(key)
        if known is None or now - known.at > age_s or _has_failed(known.task):
            self._forget(now)
            known = self._looks[key] = _Look(now, asyncio.create_task(_of(look)))
        seen: Seen = await asyncio.shield(known.task)
        return seen

    async def close(self) -> None:
        """Nobody looks any more."""
        tasks = [look.task for look in self._looks.values()]
        self._looks.clear()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _forget(self, now: float) -> None:
        """What is too old for anybody, and if others are too many the oldest of them."""
        for key, look in list(self._looks.items()):
            if look.task.done() and (now - look.at > 10 * AGE_S or len(self._looks) >= _MOST):
                del self._looks[key]


async def _of(look: Callable[[], Awaitable[Seen]]) -> Seen:
    return await look()


def _has_failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
