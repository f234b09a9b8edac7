"""A pool of asynchronous connections: every call ends in time, its trouble is typed.

While the database is away whoever asks is told so at once; it is looked for every second or so, asked for or not.
"""

import asyncio
import contextlib
import logging
from functools import partial
from math import inf
from types import TracebackType
from typing import Any, LiteralString

import orjson
import psycopg
import structlog
from psycopg.types.json import set_json_loads
from psycopg_pool import AsyncConnectionPool, PoolClosed, PoolTimeout

from panda_fsm import figures
from panda_fsm.errors import TransientError
from sql.connections import CLIENT_GRACE_S, LimitedAsyncConnection, is_spoiled, session, translated

log = structlog.get_logger()
logging.getLogger("psycopg.pool").setLevel(logging.ERROR)  # a line for each attempt to connect; we say it once

_WAIT_FOR_CONNECTION_S = 10.0
_LOOK_AGAIN_S = 1.5
"""The pool doubles its pauses between attempts to connect; it gives each up after so long and begins anew."""
_RENEW_AGAIN_S = 1.0
_PORTION = 200
"""So many rows are made of an answer in less than the time that a claim should wait."""
_AWAY = "no database connection: the database is away"
BY_INDEX = (
    " -c plan_cache_mode=force_generic_plan -c enable_hashjoin=off -c enable_mergejoin=off -c enable_seqscan=off"
    " -c enable_bitmapscan=off -c enable_sort=off"
)
"""Every statement goes by an index. Said outright, the plan is the same with one job waiting and with 100,000, with
fresh statistics and with none, and it is made once a connection."""
_SHOWN = (
    (figures.POOL_SIZE, "pool_size", 1), (figures.POOL_IDLE, "pool_available", 1),
    (figures.POOL_WAITING, "requests_waiting", 1), (figures.POOL_WAITS, "requests_queued", 1),
    (figures.POOL_WAITED, "requests_wait_ms", 0.001), (figures.POOL_ERRORS, "requests_errors", 1),
)  # fmt: skip
"""What the pool knows of itself, with the factor to base units."""
_ALWAYS = " -c jit=off -c idle_in_transaction_session_timeout=60000"


class Pool:
    """Connections for one kind of work. Raises what `translated` makes of a database error, or the error itself."""

    def __init__(
        self,
        database_url: str,
        name: str,
        size: int,
        statement_timeout_s: float,
        by_index: bool = True,
        lock_timeout_s: float = 0,
    ) -> None:
        """`by_index`: all that is asked is found by an index; what adds up many rows is planned as usual instead.

        `lock_timeout_s`: it waits no longer than that for what somebody else holds; 0: as long as for anything.
        """
        self._name = name
        self._limit_s = statement_timeout_s + CLIENT_GRACE_S
        self._is_away = False
        self._tidying: asyncio.Task[None] | None = None
        self._renewed_at = -inf
        options = (
            f"-c statement_timeout={int(statement_timeout_s * 1000)} -c lock_timeout={int(lock_timeout_s * 1000)}"
            f"{BY_INDEX if by_index else ''}{_ALWAYS}"
        )
        self._pool = AsyncConnectionPool(
            database_url,
            name=name,
            connection_class=LimitedAsyncConnection,
            min_size=min(2, size),
            max_size=size,
            timeout=_WAIT_FOR_CONNECTION_S,
            reconnect_timeout=_LOOK_AGAIN_S,
            reconnect_failed=self._look_again,
            open=False,
            configure=self._configure,
            kwargs={
                "autocommit": True, "prepare_threshold": 0, "application_name": name, **session(database_url, options)
            },
        )  # fmt: skip
        for metric, of, unit in _SHOWN:
            metric.watch(self, partial(_known, of=of, unit=unit), (name,))

    @property
    def is_away(self) -> bool:
        """Whether whoever asks is told at once that there is no connection."""
        return self._is_away

    async def open(self) -> None:
        """Start connecting; what is asked before there is a connection waits for it."""
        await self._pool.open(wait=False)

    async def close(self) -> None:
        """Give all connections back."""
        if self._tidying is not None:
            self._tidying.cancel()
        await self._pool.close()

    def connection(self) -> "_Lent":
        """A connection of the pool, for one unit of work."""
        return _Lent(self)

    async def rows(self, query: LiteralString, **parameters: Any) -> list[tuple[Any, ...]]:
        """All rows of a query. Of many a portion is read at a time, and others have their turn in between."""
        async with self.connection() as connection:
            cursor = await connection.execute(query, parameters)
            found: list[tuple[Any, ...]] = await cursor.fetchmany(_PORTION)
            more = len(found) == _PORTION
            while more:
                await asyncio.sleep(0)
                portion = await cursor.fetchmany(_PORTION)
                found += portion
                more = len(portion) == _PORTION
            return found

    async def row(self, query: LiteralString, **parameters: Any) -> tuple[Any, ...]:
        """The one row of a query."""
        return (await self.rows(query, **parameters))[0]

    async def execute(self, query: LiteralString, **parameters: Any) -> None:
        """A statement that gives no rows."""
        async with self.connection() as connection:
            await connection.execute(query, parameters)

    async def _configure(self, connection: LimitedAsyncConnection) -> None:
        connection.limit_s = self._limit_s
        set_json_loads(orjson.loads, connection)
        self._works()

    def _tidy(self) -> None:
        """A connection was lost: its neighbours are looked at, behind the answer and once for all who lost one."""
        if self._tidying is None or self._tidying.done():
            self._tidying = asyncio.create_task(self._check())

    async def _check(self) -> None:
        with contextlib.suppress(psycopg.Error):
            await self._pool.check()

    async def _renew(self) -> None:
        """What spoiled one connection (a failover, a migration) has spoiled all: new ones, but not again and again."""
        now = asyncio.get_running_loop().time()
        if now - self._renewed_at > _RENEW_AGAIN_S:
            self._renewed_at = now
            await self._pool.drain()

    async def _look_again(self, pool: AsyncConnectionPool[LimitedAsyncConnection]) -> None:
        """Connecting failed for a while. It goes on, and if no connection works nobody is kept waiting for one."""
        await self._check()
        if not self._is_away and pool.get_stats()["pool_available"] == 0:
            self._is_away = True
            log.warning("database_away", pool=self._name)
            while pool._waiting:  # whoever waited already would wait on, up to the end of his time
                await pool._waiting.popleft().fail(TransientError(_AWAY))

    def _works(self) -> None:
        if self._is_away:
            self._is_away = False
            log.info("database_back", pool=self._name)

    async def _lend(self) -> LimitedAsyncConnection:
        if self._is_away:
            raise TransientError(_AWAY)
        try:
            return await self._pool.getconn()
        except (PoolTimeout, PoolClosed) as error:
            raise TransientError(f"no database connection: {error}") from error

    async def _take_back(self, connection: LimitedAsyncConnection, error: BaseException | None) -> None:
        try:
            if error is None:
                self._works()
            elif isinstance(error, psycopg.Error):
                if is_spoiled(error):
                    await connection.close()  # the pool replaces it
                    await self._renew()
                if connection.closed:
                    self._tidy()
        finally:
            await self._pool.putconn(connection)


def _known(pool: Pool, of: str, unit: float) -> float:
    return pool._pool.get_stats().get(of, 0) * unit


class _Lent:
    """A connection while it is out of the pool, for `async with`.

    psycopg's own context would also commit, which costs as much as the rest: nothing is open then, for each statement
    outside of a `transaction()` is one by itself. What was left open all the same, the pool rolls back.
    """

    __slots__ = ("_connection", "_pool")

    def __init__(self, pool: Pool) -> None:
        self._pool = pool

    async def __aenter__(self) -> LimitedAsyncConnection:
        self._connection = await self._pool._lend()
        return self._connection

    async def __aexit__(
        self, _kind: type[BaseException] | None, error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        await self._pool._take_back(self._connection, error)
        if isinstance(error, psycopg.Error):
            meant = translated(error)
            if meant is not None:
                raise meant from error
