"""HTTP/1.1 within bounds: heads, times and the number of connections; what is beyond them is answered and logged."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any

from httptools import HttpParserError
from uvicorn.protocols.http.httptools_impl import RequestResponseCycle

from gateway.http.answers import as_bytes, refusing
from gateway.http.door import WAITING
from gateway.http.journal import JOURNAL
from gateway.http.parsing import PlainProtocol

_MOST_HEAD = 64 * 1024
MOST_URL = 64 * 1024
_MOST_HEADERS = 200
_MOST_QUEUED = 100
"""Requests of one connection that wait behind the one that is being answered."""
_LINGER_S = 2.0
_SILENT_S = 1.0


@dataclass(frozen=True, slots=True)
class Limits:
    """How long the parts of a request may take, and how many connections there may be."""

    connections: int
    first_byte_s: float = 30
    head_s: float = 15
    pause_s: float = 20
    """Between two pieces of a body, or while nobody takes our answer."""
    body_s: float = 60
    body_bytes_per_s: int = 32 * 1024
    """A long body has more time, as long as it comes so fast."""


class Phase(Enum):
    """What a connection waits for."""

    FIRST_BYTE = auto()
    HEAD = auto()
    BODY = auto()
    ANSWER = auto()
    IDLE = auto()
    """For the next request: uvicorn has a time-out for that."""
    LINGER = auto()
    """For the client to read why it was refused: closed at once, the network would throw that away."""


class _BeyondError(Exception):
    """The head is beyond a bound."""


class BoundedProtocol(PlainProtocol):
    """uvicorn's protocol with bounds. `look` is called for all connections once a second: no timer for each."""

    def __init__(self, limits: Limits, *args: Any, **named: Any) -> None:
        super().__init__(*args, **named)
        self._limits = limits
        self._phase = Phase.FIRST_BYTE
        self._since = self._moved_at = self.loop.time()
        self._untold = self._chunk = 0
        """Bytes of which the parser has told nothing, neither a head nor a body, and of what is read at this moment."""
        self._came = self._seen = self._left = 0
        """Bytes of the body, now and when they were looked at last; of our answer that were left then."""
        self._fault: tuple[int, str] | None = None
        self._at_work: RequestResponseCycle | None = None
        """The request that is being answered; those behind it on the connection wait."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if len(self.connections) > self._limits.connections and not self._make_room():
            self._fault = 503, "too many connections"

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._leave()

    def data_received(self, data: bytes) -> None:
        if self._phase is Phase.LINGER:
            return
        if self._fault is not None:
            self._refuse(*self._fault)
            return
        if self._phase in (Phase.IDLE, Phase.FIRST_BYTE):
            self._enter(Phase.HEAD)
        self._chunk = len(data)
        self._untold += len(data)
        self._unset_keepalive_if_required()
        try:
            self.feed(data)
        except HttpParserError:
            self._refuse_unreadable()
            return
        if self._phase is Phase.IDLE:
            self._rest()
        if self._untold > _MOST_HEAD:
            if self.is_in_head:  # one endless header
                self._refuse(*self._too_long())
            elif self._phase is Phase.BODY:  # trailers, or what stands beside the size of a chunk
                self._refuse(431, f"more than {_MOST_HEAD} bytes around the body")

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._untold = 0

    def on_headers_complete(self) -> None:
        if len(self.url) > MOST_URL or len(self.headers) > _MOST_HEADERS or self._has_long_head():
            self._fault = self._too_long()
            raise _BeyondError
        super().on_headers_complete()
        if not self.is_in_head:
            self._enter(Phase.BODY)
            self._came = self._seen = self._left = self._untold = 0
            queued = len(self.pipeline)
            if queued == 1:
                self.flow.resume_reading()  # only who reads hears that the client hangs up
            elif queued > _MOST_QUEUED:  # each answer lets more of them in
                self._fault = 503, f"more than {_MOST_QUEUED} requests wait on this connection"
                raise _BeyondError

    def on_body(self, body: bytes) -> None:
        self._came += len(body)
        self._untold = 0
        super().on_body(body)

    def on_message_complete(self) -> None:
        if not self.is_in_head:
            self._phase = Phase.ANSWER if not self.cycle.response_complete else Phase.IDLE
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self._phase is Phase.ANSWER and self.cycle.response_complete:
            self._phase = Phase.IDLE

    def _start_asgi_task(self, cycle: RequestResponseCycle, app: Any) -> None:
        self._at_work = cycle
        super()._start_asgi_task(cycle, app)

    def look(self, now: float) -> None:
        """Close what has taken too long, with an answer where one can be given."""
        limits, taken_s = self._limits, now - self._since
        if self.transport.is_closing():  # as soon as what is written is taken
            self._look_at_answer(now)
            return
        match self._phase:
            case Phase.FIRST_BYTE if taken_s > (limits.first_byte_s if self._fault is None else _LINGER_S):
                self.transport.close()
            case Phase.HEAD if taken_s > limits.head_s:
                self._refuse(408, "the request's head did not come in time")
            case Phase.BODY:
                self._look_at_body(now, taken_s)
            case Phase.LINGER if taken_s > _LINGER_S and not self._is_answering():
                self.transport.close()
            case Phase.ANSWER | Phase.IDLE | Phase.LINGER:
                self._look_at_answer(now)

    def is_idle(self, now: float) -> bool:
        """No request has begun, and if the connection is new none has come for a while."""
        return self._phase is Phase.IDLE or (self._phase is Phase.FIRST_BYTE and now - self._since > _SILENT_S)

    def _rest(self) -> None:
        """The body of a request came that had been refused without it; uvicorn's time-out ended when it came."""
        if self.is_in_head:
            self._enter(Phase.HEAD)
        elif self.timeout_keep_alive_task is None and not self.transport.is_closing():
            timeout = self.loop.call_later(self.timeout_keep_alive, self.timeout_keep_alive_handler)
            self.timeout_keep_alive_task = timeout

    def _look_at_body(self, now: float, taken_s: float) -> None:
        if self._came != self._seen or self.flow.read_paused:  # it comes, or it is we who do not take it
            self._seen, self._moved_at = self._came, now
        limits = self._limits
        allowed_s = limits.body_s + self._came / limits.body_bytes_per_s
        if now - self._moved_at <= limits.pause_s and taken_s <= allowed_s:
            return
        if self.cycle.response_complete:
            self.transport.close()
        else:
            self._refuse(408, "the request's body did not come in time")

    def _look_at_answer(self, now: float) -> None:
        left = self.transport.get_write_buffer_size()
        if left != self._left or not left:
            self._left, self._moved_at = left, now
        elif now - self._moved_at > self._limits.pause_s:
            path = self._at_work.scope["path"][:200] if self._at_work else ""
            JOURNAL.note(self.client, 0, "nobody took the answer", path=path)
            self.transport.abort()

    def _enter(self, phase: Phase) -> None:
        self._phase = phase
        self._since = self._moved_at = self.loop.time()

    def _too_long(self) -> tuple[int, str]:
        if not self.headers or len(self.url) > MOST_URL:
            return 414, f"the URL is longer than {MOST_URL} bytes"
        return 431, f"the head has more than {_MOST_HEAD} bytes or {_MOST_HEADERS} headers"

    def _has_long_head(self) -> bool:
        """Only of a large piece it is worth the while to count."""
        if self._untold + self._chunk <= _MOST_HEAD:
            return False
        return sum(len(name) + len(value) for name, value in self.headers) > _MOST_HEAD

    def _refuse(self, status: int, reason: str) -> None:
        """Answer what is no request, or not a whole one, and listen no more."""
        if self._phase is Phase.LINGER:
            return
        if self._phase is Phase.BODY:
            self._refuse_body(status, reason)
        else:
            JOURNAL.note(self.client, status, reason)
            if self._is_answering():
                self.cycle.keep_alive = False  # the answer that is on its way is the last one
            else:
                self._say(status, reason)
        self._enter(Phase.LINGER)

    def _refuse_unreadable(self) -> None:
        """Whatever the parser refuses, and what we stopped it at."""
        self._refuse(*(self._fault or (400, "not HTTP")))

    def _refuse_body(self, status: int, reason: str) -> None:
        """Of the newest request the rest cannot be read."""
        cycle = self.cycle
        JOURNAL.note(self.client, status, reason, path=cycle.scope["path"][:200])
        if cycle is not self._at_work:  # others are answered before it
            self.pipeline[0] = cycle, refusing(status, reason)  # type: ignore[assignment]
        elif cycle.response_complete:
            self._hear_no_more()
        elif cycle.response_started:
            cycle.keep_alive = False
        else:
            self._say(status, reason)
            self._leave()

    def _say(self, status: int, reason: str) -> None:
        """The last answer of the connection."""
        self.transport.write(as_bytes(status, reason))
        self._hear_no_more()

    def _hear_no_more(self) -> None:
        if self.transport.can_write_eof():
            self.transport.write_eof()

    def _leave(self) -> None:
        """Whatever is worked at is told that its client reads no answer."""
        cycle = self._at_work
        if cycle is None or cycle.response_complete:
            return
        cycle.disconnected = True
        cycle.message_event.set()
        scope: Any = cycle.scope
        waiting = scope.get(WAITING)
        if waiting is not None:
            waiting.leave()

    def _is_answering(self) -> bool:
        """An answer is on its way, or will be."""
        cycle: RequestResponseCycle | None = self.cycle
        return cycle is not None and not (cycle.response_complete or cycle.disconnected)

    def _make_room(self) -> bool:
        """Close a connection on which nothing is asked, for one on which something may be."""
        for number, other in enumerate(self.connections):
            if isinstance(other, BoundedProtocol) and other.is_idle(self._since):
                other.transport.close()
                return True
            if number > 100:
                break
        return False


def look_at_all(connections: Iterable[Any], now: float) -> None:
    """Called once a second."""
    for connection in list(connections):
        if isinstance(connection, BoundedProtocol):
            connection.look(now)
