"""Whether this gateway can do its part now, and whether those behind it do theirs; each with the reason.

*Not ready*: this one cannot (database, schema, broker, told to end). What it can accept it accepts all the same, so
whoever has no better gateway may go on asking it. *Degraded*: it can, but somebody who does what it accepts is missing.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

from gateway.ports import Publisher, Store
from panda_fsm.descriptions import DatabaseState
from panda_fsm.errors import TransientError

OK = "ok"
_WITHIN_S = 3.0


@dataclass(frozen=True, slots=True)
class Found:
    """What was found, part by part; `OK` or what is wrong."""

    own: dict[str, str]
    others: dict[str, str] = field(default_factory=dict)
    accepts: str = "everything"

    @property
    def is_ready(self) -> bool:
        return all(one == OK for one in self.own.values())

    @property
    def status(self) -> str:
        if not self.is_ready:
            return "not ready"
        return OK if all(one == OK for one in self.others.values()) else "degraded"


class Readiness:
    """Looks when somebody asks; all who ask meanwhile get the same answer."""

    def __init__(self, store: Store, publisher: Publisher, needed_schema: str, services: tuple[str, ...]) -> None:
        self._store = store
        self._publisher = publisher
        self._needed_schema = needed_schema
        self._services = services
        self._looking: asyncio.Task[DatabaseState] | None = None

    async def look(self, is_draining: bool) -> Found:
        """Within seconds, whatever hangs."""
        state, trouble = None, ""
        try:
            state = await self._database()
        except TransientError as error:
            trouble = str(error)
        except TimeoutError:
            trouble = f"no answer within {_WITHIN_S:g} s"
        own = {
            "database": _database(state, trouble),
            "broker": self._broker(),
            "schema": self._schema(state),
            "gateway": "draining: it was told to end" if is_draining else OK,
        }
        others = {"consumers": "; ".join(self._missing(state.served)) or OK} if state else {"consumers": "unknown"}
        return Found(own, others, _accepts(own))

    async def _database(self) -> DatabaseState:
        if self._looking is None or self._looking.done():
            self._looking = asyncio.create_task(self._store.state())
        return await asyncio.wait_for(asyncio.shield(self._looking), _WITHIN_S)

    def _broker(self) -> str:
        if self._publisher.is_blocked:
            return f"blocked: {self._publisher.trouble}"
        if not self._publisher.is_connected:
            return f"away: {self._publisher.trouble or 'connecting'}"
        return OK

    def _schema(self, state: DatabaseState | None) -> str:
        if state is None:
            return f"unknown, needed: {self._needed_schema}"
        # A newer schema is fine: migrations keep the programs of the release before working.
        if (state.schema or "") >= self._needed_schema:
            return OK
        return f"{state.schema or 'none'}, needed: {self._needed_schema}: run panda-fsm migrate"

    def _missing(self, served: dict[str, str | None]) -> Iterator[str]:
        gone = [name for name in self._services if name not in served]
        if gone:
            yield f"nobody serves {', '.join(gone)}"
        for name in self._services:
            if served.get(name):
                yield f"{name}: {served[name]}"


def _database(state: DatabaseState | None, trouble: str) -> str:
    if state is None:
        return f"away: {trouble}"
    return "read-only: nothing can be accepted before it is writable again" if state.is_read_only else OK


def _accepts(own: dict[str, str]) -> str:
    if own["database"] != OK or own["schema"] != OK:
        return "nothing"
    return "everything" if own["broker"] == OK else "everything; it is done once the broker is back"
