"""Asks the database what people want to see, as the dashboards do, by connections that end with the answer."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

from command.settings import settings

Found = TypeVar("Found")


class Store:
    """All that is read for people: of jobs at length, and what the dashboards show; and what they ask for."""

    def __init__(self) -> None:
        from sql.dashboard_store import DashboardStore
        from sql.operators import OperatorStore
        from sql.pool import Pool
        from sql.reads import ReadStore
        from sql.requests import RequestStore

        config = settings()
        self._pool = Pool(config.database_url, "look", 1, config.statement_timeout_s, by_index=False)
        self.reads = ReadStore(self._pool)
        self.requests = RequestStore(self._pool)
        self.operators = OperatorStore(self._pool)
        self.dashboards = DashboardStore(config.database_url, "look")

    async def open(self) -> None:
        """Start connecting."""
        await self._pool.open()
        await self.dashboards.open()

    async def close(self) -> None:
        """Give the connections back."""
        await self.dashboards.close()
        await self._pool.close()


def ask(question: Callable[[Store], Awaitable[Found]]) -> Found:
    """The answer. Raises PandaError where there is none."""

    async def asked() -> Found:
        store = Store()
        await store.open()
        try:
            return await question(store)
        finally:
            await store.close()

    return asyncio.run(asked())
