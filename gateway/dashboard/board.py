"""What pages look with: the store, and what others have just seen, so that many viewers cost one look and one page."""

import asyncio
from collections.abc import Awaitable, Callable, Hashable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from gateway.config import GatewayConfig
from gateway.dashboard.ports import DashboardStore, Publisher
from panda_fsm.sites import SitesNow
from panda_fsm.views.system import Broker

Seen = TypeVar("Seen")
_MOST = 300
"""Views that are kept; with other filters each is another one."""
AGE_S = 2.0
"""So old may be what is shown, unless a page says otherwise."""
_LONGEST_KEPT = 256_000


@dataclass(slots=True)
class Look(Generic[Seen]):
    """What somebody looks at, or has seen a moment ago: `at` that time."""

    began: float
    age_s: float
    task: "asyncio.Task[Seen]"
    at: datetime = field(default_factory=lambda: datetime.now(UTC))
    _shown: dict[Hashable, str] = field(default_factory=dict)

    @property
    def view(self) -> Seen:
        """What was seen; it is there."""
        return self.task.result()

    def keep(self, face: Hashable, made: str) -> str:
        """Keep a page that was made of it, for all who are shown the same; one, as nearly all are."""
        if face is not None and not self._shown and len(made) <= _LONGEST_KEPT:
            self._shown[face] = made
        return made

    def known(self, face: Hashable) -> str | None:
        """The page that was made of it for such people."""
        return self._shown.get(face)


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
        self._looks: dict[Hashable, Look[Any]] = {}

    @property
    def broker(self) -> Broker | None:
        """The broker as this process meets it; None where it meets none."""
        one = self.publisher
        return None if one is None else Broker(one.is_connected, one.is_blocked, one.trouble)

    async def shared(self, key: Hashable, look: Callable[[], Awaitable[Seen]], age_s: float = AGE_S) -> Seen:
        """What `look` finds, or has found for somebody else at most `age_s` ago."""
        return (await self.look(key, look, age_s)).view

    async def look(self, key: Hashable, look: Callable[[], Awaitable[Seen]], age_s: float = AGE_S) -> Look[Seen]:
        """The same, with its time; who comes meanwhile waits with it.

        It is looked on though whoever asked first has gone.
        """
        now = asyncio.get_running_loop().time()
        known = self._looks.get(key)
        if known is None or now - known.began > age_s or _has_failed(known.task):
            self._forget(now)
            known = self._looks[key] = Look(now, age_s, asyncio.create_task(_of(look)))
        await asyncio.shield(known.task)
        return known

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
            if look.task.done() and (now - look.began > look.age_s or len(self._looks) >= _MOST):
                del self._looks[key]


async def _of(look: Callable[[], Awaitable[Seen]]) -> Seen:
    return await look()


def _has_failed(task: "asyncio.Task[Any]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)
