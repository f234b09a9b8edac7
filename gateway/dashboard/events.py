"""The one stream of events: which topics have changed. One look a second serves all who listen."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping

import structlog
from sse_starlette import ServerSentEvent

from gateway.http.refusal import RefusalError
from panda_fsm.errors import TransientError

log = structlog.get_logger()

_EVERY_S = 1.0
_MOST = 500
_AGAIN_MS = 3000
"""So long a browser waits until it connects again."""
AWAY = "away"
"""The topic of trouble: nothing can be said of the others."""


class TooManyListenersError(RefusalError):
    """So many listen already: whoever comes now asks again and again instead."""

    status = 503


class _Listener:
    """Somebody who listens; topics that change while he is slow are told at once, each once."""

    def __init__(self) -> None:
        self.topics: set[str] = set()
        self.news = asyncio.Event()

    def tell(self, topics: set[str]) -> None:
        self.topics |= topics
        self.news.set()


class Events:
    """Looks at the marks of all topics as long as somebody listens."""

    def __init__(
        self, marks: Callable[[], Awaitable[Mapping[str, str]]], every_s: float = _EVERY_S, most: int = _MOST
    ) -> None:
        self._marks = marks
        self._every_s = every_s
        self._most = most
        self._listeners: set[_Listener] = set()
        self._sampling: asyncio.Task[None] | None = None
        self._has_ended = False

    def listen(self) -> AsyncIterator[ServerSentEvent]:
        """Events from now on, until the gateway ends. Raises TooManyListenersError."""
        if self._has_ended or len(self._listeners) >= self._most:
            raise TooManyListenersError("too many listen already: ask again and again instead")
        return self._stream()

    async def _stream(self) -> AsyncIterator[ServerSentEvent]:
        listener = _Listener()
        self._listeners.add(listener)
        if self._sampling is None or self._sampling.done():
            self._sampling = asyncio.create_task(self._sample())
        try:
            yield ServerSentEvent(data="", event="hello", retry=_AGAIN_MS)
            while not self._has_ended:
                await listener.news.wait()
                listener.news.clear()
                topics, listener.topics = listener.topics, set()
                if topics:
                    yield ServerSentEvent(data=" ".join(sorted(topics)), event="changed")
        finally:
            self._listeners.discard(listener)

    def end(self) -> None:
        """Nobody is told anything more: every stream ends."""
        self._has_ended = True
        for listener in self._listeners:
            listener.news.set()

    async def close(self) -> None:
        """End, and look no more."""
        self.end()
        if self._sampling is not None:
            self._sampling.cancel()
            await asyncio.gather(self._sampling, return_exceptions=True)

    async def _sample(self) -> None:
        known = await self._look()
        while self._listeners:
            await asyncio.sleep(self._every_s)
            found = await self._look()
            changed = {topic for topic in known.keys() | found.keys() if known.get(topic) != found.get(topic)}
            known = found
            if changed:
                for listener in self._listeners:
                    listener.tell(changed)

    async def _look(self) -> dict[str, str]:
        """The marks; while there are none, that is the news."""
        try:
            return dict(await self._marks())
        except TransientError as error:
            return {AWAY: str(error)}
        except Exception as error:
            log.warning("no_marks", error=str(error))
            return {AWAY: "fault"}
