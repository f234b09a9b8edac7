"""The connections by which simulated users and pilots ask: few, shared by all; a gateway that is away is waited for."""

from __future__ import annotations

import asyncio
from typing import Any

import orjson

from lab.http_client import HttpConnection, post
from lab.site import unsigned_token

CONNECTIONS = 16
_BUSY = 503
_PAUSE_S = 1.0


class Line:
    """Asks in turn on a few connections, as `who` is told to be; what the gateway refuses is counted and dropped."""

    def __init__(self, port: int, ending: asyncio.Event) -> None:
        self._port = port
        self._ending = ending
        self._free: asyncio.Queue[HttpConnection | None] = asyncio.Queue()
        self._tokens: dict[str, str] = {}
        self.refused = 0
        self.trouble = ""
        for _ in range(CONNECTIONS):
            self._free.put_nowait(None)

    async def ask(self, path: str, fields: dict[str, Any], who: str) -> dict[str, Any]:
        """The answer's envelope; empty where the gateway refused, or stayed away until the end."""
        request = post(path, orjson.dumps(fields), self._token(who))
        while True:
            answer = await self._sent(request)
            if answer is not None and answer[0] != _BUSY:
                break
            self.trouble = "the gateway does not answer" if answer is None else "the gateway is too busy"
            if self._ending.is_set():
                return {}
            await asyncio.sleep(_PAUSE_S)
        self.trouble = ""
        status, body = answer
        if status != 200:
            self.refused += 1
            self.trouble = f"{path} was answered {status} {body[:160].decode(errors='replace')}"
            return {}
        found: dict[str, Any] = orjson.loads(body)
        return found

    def close(self) -> None:
        """Hang up."""
        while not self._free.empty():
            connection = self._free.get_nowait()
            if connection is not None:
                connection.close()

    async def _sent(self, request: bytes) -> tuple[int, bytes] | None:
        """Status and body; None when nobody answers there."""
        connection = await self._free.get()
        try:
            connection = connection or await HttpConnection.open(self._port)
            return await connection.send(request)
        except OSError:
            connection = None
            return None
        finally:
            self._free.put_nowait(connection)

    def _token(self, who: str) -> str:
        if who not in self._tokens:
            self._tokens[who] = unsigned_token(who, "traffic")
        return self._tokens[who]
