"""Reads a delivery of JEDI's: unpacked within bounds, decoded, its sender and the place of the answer made out."""

import json
import re
import zlib
from hashlib import sha256
from typing import Any

import orjson
from pydantic import TypeAdapter, ValidationError
from pydantic_core import from_json

from jedi.requests import MOST_BYTES, REQUEST, AnyRequest, MessageId
from panda_fsm.answers import REPLY_QUEUES, RequestKey
from panda_fsm.errors import UnreadableError, first_complaint
from panda_fsm.handler import Delivery
from panda_fsm.messages import Foreign, cut

ACTOR = "jedi"
"""Who asks, where the broker does not say."""
_GZIP_MAGIC = b"\x1f\x8b"
_GZIP = 31  # zlib's name for "gzip header and trailer"
_ZIPPED = frozenset({"gzip", "x-gzip"})
_PIECE = 8
"""Bytes of a broken gzip that are unpacked at once: what is in a piece with the break is lost."""
_BEGINNING = 64 * 1024
"""So much of a broken one is looked at: who sent it, and what it is called, is told before its jobs, or not at all."""
_PLAIN = frozenset({"", "identity", "utf-8", "utf8"})
"""Encodings that are none; some libraries name the character set here."""
_STOMP_PLACES = ("/reply-queue/", "/amq/queue/", "/temp-queue/", "/queue/")
"""How STOMP clients name a queue."""
_LONGEST_QUEUE = 255
_NOT_OF_CONTENT = ("reply_to", "msg_id", "schema")
_TOO_LARGE = f"has more than {MOST_BYTES} bytes; please send fewer jobs at once"
_PLACE = re.compile(r"line (\d+) column (\d+)$")
_NAME = re.compile(r"[A-Za-z0-9_]{1,64}")
_MESSAGE_ID: TypeAdapter[str] = TypeAdapter(MessageId)


class Asked(Foreign):
    """A request as it was read. `request` None: it is refused, for the reason in `refusal`."""

    key: RequestKey
    msg_type_asked: str = ""
    reply_to: str | None = None
    request: AnyRequest | None = None
    content_hash: str = ""
    refusal: str = ""


class _RefusedError(Exception):
    """Why a request is refused."""


def read(delivery: Delivery) -> Asked:
    """The request in a delivery, or that it is refused and who is to be told. Raises UnreadableError: nobody can be."""
    text, refusal = _unpacked(delivery)
    content, broken = _content(text, is_whole=refusal is None)
    refusal = refusal or broken
    try:
        reply_to, wrong = _reply_queue(content.get("reply_to") or delivery.reply_to), None
    except _RefusedError as error:
        reply_to, wrong = None, str(error)
    key = _key(content, delivery)
    if key is None:
        raise UnreadableError(refusal or "msg_id: is missing, or no text of 1 to 128 characters", None)
    asked = Asked.model_construct(
        key=key, reply_to=reply_to, msg_type_asked=_name(content.get("msg_type")), refusal=refusal or wrong or "",
    )  # fmt: skip
    if not asked.refusal:
        _take(asked, content)
    return asked


def _take(asked: Asked, content: dict[str, Any]) -> None:
    content = {name: value for name, value in content.items() if value is not None}
    try:
        asked.request = REQUEST.validate_python(content)
    except ValidationError as error:
        where, what = first_complaint(error)
        asked.refusal = cut(": ".join(part for part in (where.partition(".")[2], what) if part))
        return
    asked.content_hash = _hash({name: value for name, value in content.items() if name not in _NOT_OF_CONTENT})


def _hash(meant: dict[str, Any]) -> str:
    """The same for the same content, in whatever order it was written."""
    try:
        text = orjson.dumps(meant, option=orjson.OPT_SORT_KEYS)
    except orjson.JSONEncodeError:  # a number beyond all bounds, which some job will be told of
        text = json.dumps(meant, sort_keys=True).encode()
    return sha256(text).hexdigest()


def _key(content: dict[str, Any], delivery: Delivery) -> RequestKey | None:
    try:
        return RequestKey(delivery.user_id or ACTOR, _MESSAGE_ID.validate_python(content.get("msg_id")))
    except ValidationError:
        return None


def _name(value: object) -> str:
    """A request's name as an answer repeats it: any text that can be one."""
    return value if isinstance(value, str) and _NAME.fullmatch(value) else "request"


def _reply_queue(named: object) -> str | None:
    """The queue that was named. Raises _RefusedError for one that is not there for answers."""
    if named is None or named == "":
        return None
    queue = named if isinstance(named, str) else ""
    for place in _STOMP_PLACES:
        queue = queue.removeprefix(place)
    if not queue.startswith(REPLY_QUEUES) or len(queue.encode()) > _LONGEST_QUEUE or not queue.isprintable():
        raise _RefusedError(f"reply_to: answers go to queues that begin with {', '.join(REPLY_QUEUES)} only")
    return queue


def _unpacked(delivery: Delivery) -> tuple[bytes, str | None]:
    """The plain body; of one that is refused as much as is needed to tell its sender, and why."""
    body, encoding = delivery.body, (delivery.content_encoding or "").lower()
    text, refusal = _unzipped(body) if body.startswith(_GZIP_MAGIC) else (body, None)
    if encoding not in _ZIPPED and encoding not in _PLAIN:
        refusal = f"content_encoding {cut(encoding, 40)!r}: gzip or none"
    elif encoding in _ZIPPED and not body.startswith(_GZIP_MAGIC):
        refusal = "the body is no gzip, as its encoding says it were"
    elif len(text) > MOST_BYTES:
        refusal = _TOO_LARGE
    return text[:MOST_BYTES], refusal


def _unzipped(body: bytes) -> tuple[bytes, str | None]:
    """What was packed, as much as counts and one byte more, and what is wrong with it."""
    packed = zlib.decompressobj(_GZIP)
    try:
        plain = packed.decompress(body, MOST_BYTES + 1)
    except zlib.error as error:
        return _unbroken(body), f"the body is no gzip: {error}"
    if packed.eof:
        return plain, "more follows after the gzip body" if packed.unused_data else None
    return plain, "the gzip body ends too early"


def _unbroken(body: bytes) -> bytes:
    """What was packed before the place where it is broken, a few bytes after the others."""
    packed, plain = zlib.decompressobj(_GZIP), bytearray()
    try:
        for start in range(0, len(body), _PIECE):
            plain += packed.decompress(body[start : start + _PIECE])
            if len(plain) > _BEGINNING:
                break
    except zlib.error:
        pass
    return bytes(plain)


def _content(text: bytes, *, is_whole: bool) -> tuple[dict[str, Any], str | None]:
    """The fields of a JSON object and what is wrong with it; of one that is cut off or broken those before that."""
    try:
        found, wrong = from_json(text, allow_partial=not is_whole), None
    except ValueError as error:
        found, wrong = _before(text, error), f"the body is not JSON: {error}"
    if not isinstance(found, dict):
        return {}, wrong or "the body is not a JSON object"
    return found, wrong


def _before(text: bytes, error: ValueError) -> Any:
    """What can be read before the place that the parser names."""
    place = _PLACE.search(str(error))
    if place is None:
        return None
    before = sum(len(line) + 1 for line in text.split(b"\n")[: int(place[1]) - 1])
    try:
        return from_json(text[: max(0, before + int(place[2]) - 1)], allow_partial=True)
    except ValueError:
        return None
