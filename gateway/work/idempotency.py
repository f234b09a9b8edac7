"""A request that makes something is done once, however often it is sent because its answer was lost.

With an `Idempotency-Key` the same key from the same caller gets the same answer for a week. Without one only a lost
answer makes a repetition: the client hung up before its answer was written, or the gateway died over it, and the same
content comes again. Whoever got an answer and sends the same again means it.
"""

import asyncio
import hashlib
from collections.abc import Awaitable, Callable, Sequence
from contextvars import Context
from dataclasses import dataclass
from typing import Any

import orjson
import structlog
from pydantic import BaseModel
from starlette.requests import Request

from gateway.http.refusal import RefusalError
from gateway.ports import RepeatStore
from gateway.work.coalesce import Coalescer
from gateway.work.publishing import Publishing
from gateway.work.requests import check_sizes
from gateway.work.waiting import CURRENT
from panda_fsm.descriptions import AuditRow
from panda_fsm.effects import Outgoing
from panda_fsm.errors import TransientError
from panda_fsm.messages import new_message_id
from panda_fsm.repeats import Earlier, Once

log = structlog.get_logger()

HEADER = "Idempotency-Key"
_LONGEST_KEY = 255
_TOGETHER = 50
_LARGE = 1024 * 1024
_LOOK_AGAIN_S = 0.05
_SETTLE_AGAIN_S = (0.2, 1.0, 5.0, 20.0)


class KeyReusedError(RefusalError):
    """The key belongs to a request with other content."""

    status = 422


@dataclass(frozen=True, slots=True)
class Made:
    """What a request comes to: the messages to be kept, the row about who sent it, and the data of its answer."""

    messages: Sequence[Outgoing]
    audit: AuditRow | None
    answer: Any


def read_key(value: str | None) -> str | None:
    """The header's value, with or without the quotes of a structured field. Raises RefusalError."""
    key = (value or "").strip()
    if len(key) > 1 and key[0] == key[-1] == '"':
        key = key[1:-1]
    if len(key) > _LONGEST_KEY or "\x00" in key:
        raise RefusalError(f"{HEADER}: more than {_LONGEST_KEY} characters, or not text")
    return key or None


class Idempotency:
    """Submissions have lanes of their own: however large, no report waits behind them."""

    def __init__(self, store: RepeatStore, publishing: Publishing) -> None:
        self._store = store
        self._publishing = publishing
        self._small: Coalescer[Once, Earlier | None] = Coalescer(
            self._keep, _TOGETHER, _weight, 4 * _LARGE, is_promise=True
        )
        self._large: Coalescer[Once, Earlier | None] = Coalescer(self._keep, 1, is_promise=True)
        self._here: set[str] = set()
        self._settled: Coalescer[tuple[str, bool], None] = Coalescer(self._settle, 1000)
        self._settling: set[asyncio.Task[None]] = set()

    async def answer(
        self, request: Request, owner: str, ask: BaseModel, make: Callable[[], Awaitable[Made]], key: str | None = None
    ) -> Any:
        """The data of the answer: what `make` comes to, once it is kept, or what the same request was told before.

        Forms have no headers: of those `key` is a field. Raises KeyReusedError, TooLargeError; TransientError: nothing
        was kept.
        """
        key = read_key(key or request.headers.get(HEADER))
        request_hash = await _hash_of(request.scope["path"], ask)
        if key is not None:
            earlier = await self._store.answer_to(owner, key)
            if earlier is not None:
                return _again(earlier, request_hash)
        made = await make()
        if made.messages:
            check_sizes(made.messages)
        elif key is None:
            return made.answer
        text = orjson.dumps(made.answer).decode()
        earlier = await self._once(Once(new_message_id(), owner, key, request_hash, text, made.messages, made.audit))
        if earlier is not None:
            return _again(earlier, request_hash)
        self._publishing.publish(made.messages)
        return made.answer

    async def drain(self) -> None:
        """Wait until it is written down whose answers were given."""
        while self._settling:
            await asyncio.gather(*self._settling, return_exceptions=True)

    async def _once(self, once: Once) -> Earlier | None:
        """Nothing if it is kept now, else what came before. Without a key it is noted whether the answer is lost."""
        if once.key is not None:
            return await self._ask(once)
        self._here.add(once.request_id)
        try:
            earlier = await self._ask(once)
        except BaseException:
            self._here.discard(once.request_id)  # should it be kept all the same, its answer is lost
            raise
        waiting = CURRENT.get()
        is_told = waiting is None or not waiting.has_hung_up
        if earlier is not None or not is_told:
            self._here.discard(once.request_id)
        self._note(once.request_id if earlier is None else earlier.request_id, is_told)
        return earlier

    async def _ask(self, once: Once) -> Earlier | None:
        lane = self._large if _weight(once) > _LARGE else self._small
        while True:
            earlier = await lane.ask(once)
            if earlier is None or not earlier.is_open:
                return earlier
            await asyncio.sleep(_LOOK_AGAIN_S)

    def _note(self, request_id: str, is_told: bool) -> None:
        # Nobody waits for this: it is done in no request's name.
        task = asyncio.create_task(self._see_to(request_id, is_told), context=Context())
        self._settling.add(task)
        task.add_done_callback(self._settling.discard)

    async def _see_to(self, request_id: str, is_told: bool) -> None:
        """Write it down behind the answer; as long as that fails, nobody here takes the request for a lost one."""
        for pause in (*_SETTLE_AGAIN_S, None):
            try:
                await self._settled.ask((request_id, is_told))
            except TransientError as error:
                log.debug("not_settled", error=str(error))
                if pause is None:
                    return
                await asyncio.sleep(pause)
            else:
                self._here.discard(request_id)
                return

    async def _keep(self, asked: Sequence[Once]) -> list[Earlier | None]:
        return await self._store.keep_once(asked, self._here)

    async def _settle(self, told: Sequence[tuple[str, bool]]) -> list[None]:
        await self._store.settle(
            [one for one, is_told in told if is_told], [one for one, is_told in told if not is_told]
        )
        return [None] * len(told)


def _again(earlier: Earlier, request_hash: str) -> Any:
    if earlier.request_hash != request_hash:
        raise KeyReusedError(f"{HEADER}: this key was sent with another request; a new request needs a new key")
    return orjson.loads(earlier.answer)


def _weight(once: Once) -> int:
    return sum(len(message.body) for message in once.messages)


async def _hash_of(path: str, ask: BaseModel) -> str:
    """What tells a request from another one, whatever its encoding was."""
    is_large = any(isinstance(value, str) and len(value) > _LARGE for _, value in ask)
    return await asyncio.to_thread(_hash, path, ask) if is_large else _hash(path, ask)


def _hash(path: str, ask: BaseModel) -> str:
    digest = hashlib.sha256(path.encode())
    for name, value in ask:
        digest.update(name.encode() + b"\0")
        digest.update(
            value.encode(errors="surrogatepass")
            if isinstance(value, str)
            else orjson.dumps(value, default=str, option=orjson.OPT_NON_STR_KEYS | orjson.OPT_SORT_KEYS)
        )
        digest.update(b"\0")
    return digest.hexdigest()
