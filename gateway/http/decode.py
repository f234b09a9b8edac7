"""The one tolerant decoder of request bodies: gzip, JSON and forms are recognised by content, sizes are counted."""

import json
import math
import zlib
from collections.abc import AsyncIterable
from typing import Any
from urllib.parse import parse_qsl

import orjson

from gateway.http.refusal import TooLargeError, UndecodableError

MAX_FORM_FIELDS = 10_000
_GZIP_MAGIC = b"\x1f\x8b"
_DIGITS_OF_64_BITS = 19
_MOST_MEMBERS = 16
_GZIP = 31  # zlib's name for "gzip header and trailer"


async def read_limited(chunks: AsyncIterable[bytes], limit: int) -> bytes:
    """The whole body. Raises TooLargeError as soon as more than `limit` bytes came."""
    parts: list[bytes] = []
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limit:
            raise TooLargeError(f"the body is larger than {limit} bytes")
        parts.append(chunk)
    return parts[0] if len(parts) == 1 else b"".join(parts)


def decode_fields(body: bytes, limit: int) -> dict[str, Any]:
    """The fields in `body`, whatever its headers claim: pilots send gzip without saying so, and forms as well.

    Raises UndecodableError or TooLargeError.
    """
    if body.startswith(_GZIP_MAGIC):
        body = _gunzip(body, limit)
    text = body.strip()
    if not text:
        return {}
    if text[:1] in b"{[":
        return _json_object(text)
    return form_fields(text)


def _gunzip(body: bytes, limit: int) -> bytes:
    """Every member of a gzip body; stops at `limit` whatever a bomb would inflate to."""
    parts: list[bytes] = []
    left = limit + 1
    while body and left > 0:
        if len(parts) == _MOST_MEMBERS:
            raise UndecodableError(f"the gzip body has more than {_MOST_MEMBERS} members")
        member = zlib.decompressobj(_GZIP)
        try:
            part = member.decompress(body, left)
        except zlib.error as error:
            raise UndecodableError(f"the body is not valid gzip: {error}") from None
        parts.append(part)
        left -= len(part)
        if left > 0 and not member.eof:
            raise UndecodableError("the gzip body ends too early")
        body = member.unused_data.lstrip(b"\0")
    if left <= 0:
        raise TooLargeError(f"the body is larger than {limit} bytes when unpacked")
    return b"".join(parts)


def _json_object(text: bytes) -> dict[str, Any]:
    value = decode_json(text)
    if not isinstance(value, dict):
        raise UndecodableError("the body must be a JSON object with named fields")
    return value


def decode_json(text: bytes | str) -> Any:
    """JSON as Python's own encoder writes it: NaN and infinities, which JSON does not know, become null."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        return _lenient_json(text)


def _lenient_json(text: bytes | str) -> Any:
    try:
        value = json.loads(text, parse_constant=lambda _name: None, parse_float=_finite, parse_int=_whole)
        # Half of a surrogate pair parses, but can be written nowhere.
        json.dumps(value, ensure_ascii=False).encode()
    except (ValueError, RecursionError) as error:
        raise UndecodableError(f"the body is not valid JSON: {_reason(error)}") from None
    return value


def _reason(error: ValueError | RecursionError) -> str:
    match error:
        case json.JSONDecodeError():
            return f"{error.msg} at character {error.pos}"
        case RecursionError():
            return "nested too deeply"
        case _:
            return "not UTF-8"


def _whole(text: str) -> int | float | None:
    """Beyond 64 bits a float, as the fast decoder gives it."""
    return int(text) if len(text) < _DIGITS_OF_64_BITS else _finite(text)


def _finite(text: str) -> float | None:
    number = float(text)
    return number if math.isfinite(number) else None


def form_fields(text: bytes) -> dict[str, Any]:
    """Fields of a form or a query; a field that is repeated becomes a list."""
    try:
        pairs = parse_qsl(
            text.decode(), keep_blank_values=True, strict_parsing=True, errors="strict", max_num_fields=MAX_FORM_FIELDS
        )
    except ValueError:
        raise UndecodableError("the body is neither a JSON object, nor gzip, nor a form") from None
    fields: dict[str, Any] = {}
    for name, value in pairs:
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], list):
            fields[name].append(value)
        else:
            fields[name] = [fields[name], value]
    return fields
