"""Reads bodies: small ones are decoded at once, big ones in a thread, and all big ones together have one budget."""

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

from gateway.http.decode import decode_plain, is_packed, unpacked
from gateway.http.refusal import TooLargeError, TooMuchNowError
from gateway.http.structure import SMALL
from gateway.work.waiting import Waiting

Answer = TypeVar("Answer")
Fields = dict[str, Any]

MOST_BYTES = 256 * 1024 * 1024
EXPECTS = "panda_fsm.expects"
"""Set in the scope of a request whose client sends the body when it is asked for it."""


class Bodies:
    """Whatever is held of big bodies, read or unpacked, counts against the budget until its request is answered."""

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._left = most_bytes
        # One: a second would take turns with the first, and the event loop would wait for both.
        self._thread = ThreadPoolExecutor(1, "decoding")

    async def read(self, request: Request, limit: int, waiting: Waiting) -> bytes:
        """The whole body. Raises TooLargeError, TooMuchNowError as soon as it is too much; ClientDisconnect."""
        check_announced(request, limit)
        receive = request.receive
        parts: list[bytes] = []
        size = 0
        while True:
            message = await receive()
            if message["type"] == "http.disconnect":
                raise ClientDisconnect
            part = message.get("body", b"")
            size += len(part)
            if size > SMALL:
                if size > limit:
                    raise TooLargeError(f"the body is larger than {limit} bytes")
                self._take(waiting, size - waiting.weight)
            if not message.get("more_body"):
                break
            parts.append(part)
        return b"".join([*parts, part]) if parts else part

    async def decoded(self, body: bytes, limit: int, waiting: Waiting, validate: Callable[[Fields], Answer]) -> Answer:
        """What `validate` makes of the fields in `body`. Raises RefusalError, and what `validate` raises."""
        if len(body) <= SMALL:
            try:
                plain = unpacked(body, SMALL) if is_packed(body) else body
            except TooLargeError:
                pass  # it is small only as it came
            else:
                return validate(decode_plain(plain))
        loop = asyncio.get_running_loop()

        def work() -> Answer:
            plain = body
            if is_packed(body):
                plain = unpacked(body, limit)
                loop.call_soon_threadsafe(self._weigh, waiting, len(plain))
            return validate(decode_plain(plain))

        working: Future[Answer] = self._thread.submit(work)
        return await asyncio.wrap_future(working)

    def release(self, waiting: Waiting) -> None:
        """The request is answered."""
        if waiting.weight:
            self._left += waiting.weight
            waiting.weight = 0

    def close(self) -> None:
        """No more bodies."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _take(self, waiting: Waiting, size: int) -> None:
        if size > self._left:
            raise TooMuchNowError("too many large requests at this moment, please repeat")
        self._weigh(waiting, size)

    def _weigh(self, waiting: Waiting, size: int) -> None:
        """What is there already counts, whether it fits or not: whoever comes next waits for it."""
        if not waiting.is_done:
            waiting.weight += size
            self._left -= size


def check_announced(request: Request, limit: int) -> None:
    """Who asks whether to send a body is told that it is too large. Raises TooLargeError."""
    if EXPECTS in request.scope and int(request.headers.get("content-length", 0)) > limit:
        raise TooLargeError(f"the body is larger than {limit} bytes")
