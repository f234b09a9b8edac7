"""Whether the database can be worked with, asked on a connection of its own: it waits behind nobody."""

import asyncio
from typing import Any

import psycopg

from panda_fsm.descriptions import DatabaseState
from panda_fsm.errors import TransientError
from sql.connections import LimitedAsyncConnection, session, translated
from sql.queries import load

_Q = load("readiness")
_LIMIT_S = 2
_RENEWED_AFTER_S = 10.0
"""Some settings of a database are seen by new sessions only."""


class Readiness:
    """Looks when it is asked. Raises TransientError with the reason when the database is away."""

    def __init__(self, database_url: str) -> None:
        self._url = database_url
        self._connection: LimitedAsyncConnection | None = None
        self._connected_at = 0.0

    async def look(self) -> DatabaseState:
        """One caller at a time."""
        try:
            connection = await self._connected()
            is_read_only, has_schema = await _row(connection, "session")
            schema = (await _row(connection, "schema"))[0] if has_schema else None
            has_presence = schema is not None and (await _row(connection, "presence"))[0]
            served = await (await connection.execute(_Q["served"])).fetchall() if has_presence else []
        except psycopg.Error as error:
            await self.close()
            raise translated(error) or TransientError(f"database: {error}") from error
        if is_read_only:
            await self.close()  # the next look is a new session's
        return DatabaseState(schema, is_read_only, {row[0]: row[1] for row in served})

    async def close(self) -> None:
        """Give the connection back."""
        if self._connection is not None:
            await self._connection.close()
            self._connection = None

    async def _connected(self) -> LimitedAsyncConnection:
        now = asyncio.get_running_loop().time()
        if now - self._connected_at > _RENEWED_AFTER_S:
            await self.close()
        if self._connection is None or self._connection.closed:
            place = session(self._url, f"-c statement_timeout={_LIMIT_S * 1000}")
            self._connection = await LimitedAsyncConnection.connect(
                self._url, autocommit=True, application_name="gateway.readiness",
                **place | {"connect_timeout": _LIMIT_S},
            )  # fmt: skip
            self._connection.limit_s = _LIMIT_S
            self._connected_at = now
        return self._connection


async def _row(connection: LimitedAsyncConnection, query: str) -> tuple[Any, ...]:
    found: tuple[Any, ...] | None = await (await connection.execute(_Q[query])).fetchone()
    return found or (None,)
