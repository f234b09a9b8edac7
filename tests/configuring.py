"""The configurator inside the test, and what a process that follows knows by it."""

from __future__ import annotations

import asyncio

from panda_fsm.information.models import Override
from panda_fsm.information.overriding import audited
from panda_fsm.information.sources import Source
from panda_fsm.sites import Known
from panda_fsm.trouble import Condition
from periodic.configurator import Configurator
from periodic.fetching import Patience
from sql import information
from sql.information_sources import Sources
from sql.operators import OperatorStore
from sql.pool import Pool
from sql.session import Session

MOST_BYTES = 60_000_000


class Configuring:
    """The configurator with a store of its own, and what a process that follows knows."""

    def __init__(self, database_url: str, *sources: Source) -> None:
        self._session = Session(database_url, "test.information", 30)
        self.sources = Sources(self._session.transaction)
        self.condition = Condition()
        self._url = database_url
        self._asked = sources
        self._known = Known()

    def run(self, limit_s: float = 60, silence_s: float = 30) -> None:
        """Ask all sources once; an answer may take so long, and nothing may come of it for so long."""
        patience = Patience(limit_s, silence_s, most_bytes=MOST_BYTES)
        configurator = Configurator(self.sources, self._asked, 20, self.condition, patience)
        try:
            configurator.run()
        finally:
            configurator.close()

    def set_status(self, queue: str, override: Override | None, actor: str, why: str) -> bool:
        """As operators do; False: no source has the queue."""

        async def asked() -> bool:
            pool = Pool(self._url, "test.operators", 1, 30)
            await pool.open()
            try:
                audit = audited(queue, override, f"s:{actor}", actor, why)
                return await OperatorStore(pool).set_status(queue, override, audit)
            finally:
                await pool.close()

        return asyncio.run(asked())

    @property
    def known(self) -> Known:
        with self._session.use() as connection:
            information.follow(connection, self._known, information.version(connection), for_pilots=True)
        return self._known

    def close(self) -> None:
        self._session.close()
