"""Documents that many read again and again: who has one already is told so, and a large one is packed once for all."""

import asyncio
import gzip
import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import Request
from starlette.responses import Response

_KEPT_S = 30.0
"""What changes with the time alone, as a downtime does, is seen so much later in a large document."""
_ASK_AGAIN = {"Cache-Control": "no-cache"}
"""A reader in between asks each time whether its copy is still right."""


@dataclass(frozen=True, slots=True)
class Document:
    """JSON and the name of its content. `packed`: by gzip, where that is worth it."""

    body: bytes
    tag: str
    packed: bytes | None = None

    @classmethod
    def of(cls, content: Any, is_large: bool = False) -> "Document":
        """Of any JSON value."""
        body = orjson.dumps(content, option=orjson.OPT_NON_STR_KEYS)
        tag = hashlib.sha256(body).hexdigest()[:32]
        return cls(body, f'"{tag}"', gzip.compress(body, 5, mtime=0) if is_large else None)

    def answer(self, request: Request) -> Response:
        """It, or that whoever asks has it already."""
        headers = {"ETag": self.tag, **_ASK_AGAIN}
        if self.packed is not None:
            headers["Vary"] = "Accept-Encoding"
        if self._is_had(request.headers.get("if-none-match", "")):
            return Response(status_code=304, headers=headers)
        if self.packed is None or not _unpacks(request):
            return Response(self.body, media_type="application/json", headers=headers)
        return Response(self.packed, media_type="application/json", headers=headers | {"Content-Encoding": "gzip"})

    def _is_had(self, tags: str) -> bool:
        return self.tag in (one.strip().removeprefix("W/") for one in tags.split(",")) or tags.strip() == "*"


class Documents:
    """Large documents by name: each is made once for as many as ask, aside of those that are at work."""

    def __init__(self) -> None:
        self._made: dict[str, tuple[object, float, asyncio.Task[Document]]] = {}

    async def get(self, name: str, of: object, make: Callable[[], Any]) -> Document:
        """The document of this name, made anew when what it is `of` is another one, or some time has gone by."""
        now = time.monotonic()
        made_of, at, making = self._made.get(name, (None, 0.0, None))
        has_failed = making is not None and making.done() and making.exception() is not None
        if making is None or has_failed or made_of is not of or now - at > _KEPT_S:
            making = asyncio.create_task(asyncio.to_thread(lambda: Document.of(make(), is_large=True)))
            self._made[name] = of, now, making
        return await asyncio.shield(making)


def _unpacks(request: Request) -> bool:
    """Whether who asks can read gzip: it names it, and does not refuse it."""
    for said in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = said.replace(" ", "").partition(";q=")
        if name.lower() == "gzip":
            return weight.strip("0.") != "" or not weight
    return False
