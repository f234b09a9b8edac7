"""The one tolerant decoder of request bodies: gzip, JSON and forms are recognised by content, sizes are counted."""

import re
import zlib
from typing import Any

import orjson

from gateway.http.mending import flattened, mended
from gateway.http.refusal import TooLargeError, UndecodableError
from gateway.http.structure import check, check_flattening
from panda_fsm.specs.values import Repeated

MAX_FIELDS = 20_000
"""Of one request: 10,000 ids in a form are as many fields, and there are others."""
_MAX_RATIO = 250
"""Thousands of equal jobs pack 100 : 1; only what is made to hurt packs 1000 : 1."""
_FREE_OF_RATIO = 32 * 1024 * 1024
"""A payload's metadata may be long and all alike; how many values it holds is counted before it is parsed."""
_GZIP_MAGIC = b"\x1f\x8b"
_BOM = b"\xef\xbb\xbf"
_MOST_MEMBERS = 16
_GZIP = 31  # zlib's name for "gzip header and trailer"
_SLICE = 64 * 1024
_ESCAPES = re.compile(rb"(?:%[0-9a-fA-F]{2})+")


def is_packed(body: bytes) -> bool:
    """Whether it is gzip, whatever its headers claim: pilots send gzip without saying so."""
    return body.startswith(_GZIP_MAGIC)


def decode_plain(body: bytes) -> dict[str, Any]:
    """The fields of JSON or of a form. Raises UndecodableError or TooLargeError."""
    text = body.removeprefix(_BOM).strip()
    if not text:
        return {}
    if text[:1] in b"{[":
        return _json_object(text)
    return form_fields(text)


def unpacked(body: bytes, limit: int) -> bytes:
    """Every member of a gzip body; stops at `limit`, or where only a bomb would go on."""
    most = min(limit, max(_FREE_OF_RATIO, len(body) * _MAX_RATIO))
    parts: list[bytes] = []
    left = most + 1
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
        why = "" if most == limit else f", and more than {_MAX_RATIO} times what was sent"
        raise TooLargeError(f"the body is larger than {most} bytes when unpacked{why}")
    return parts[0] if len(parts) == 1 else b"".join(parts)


def _json_object(text: bytes) -> dict[str, Any]:
    value = decode_json(text, 1)
    if not isinstance(value, dict):
        raise UndecodableError("the body must be a JSON object with named fields")
    if len(value) > MAX_FIELDS:
        raise UndecodableError(f"the body has more than {MAX_FIELDS} fields")
    return value


def decode_json(text: bytes | str, depth_kept: int | None = None) -> Any:
    """JSON as others write it: NaN and infinities, which JSON does not know, become null; what is no character, U+FFFD.

    Of a text that holds too much, what is deeper than `depth_kept` is read as text: perhaps it is one field that nobody
    looks into. Raises UndecodableError or TooLargeError.
    """
    if isinstance(text, str):
        text = text.encode(errors="replace")
    try:
        check(text)
    except (TooLargeError, UndecodableError):
        if depth_kept is None:
            raise
        check_flattening(text, depth_kept)
        text = flattened(text, depth_kept)
        check(text)
    return _parsed(text)


def _parsed(text: bytes) -> Any:
    """Only what the parser refuses is mended: nearly nothing. Raises UndecodableError or TooLargeError."""
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError:
        pass
    text = mended(text)
    check(text)  # what was left out may have moved the end of a text
    try:
        return orjson.loads(text)
    except orjson.JSONDecodeError as error:
        raise UndecodableError(f"the body is not valid JSON: {error.msg} at character {error.pos}") from None


def form_fields(text: bytes) -> dict[str, Any]:
    """Fields of a form, one of which at least has a value; a field that is repeated becomes a list.

    Raises UndecodableError.
    """
    if b"=" not in text:
        raise UndecodableError("the body is neither a JSON object, nor gzip, nor a form")
    return _fields(text, "form")


def query_fields(query: bytes) -> dict[str, Any]:
    """Fields of a query; one without a value is there, and empty. Raises UndecodableError."""
    return _fields(query, "query")


def _fields(text: bytes, what: str) -> dict[str, Any]:
    if text.count(b"&") >= MAX_FIELDS:
        raise UndecodableError(f"the {what} has more than {MAX_FIELDS} fields")
    fields: dict[str, Any] = {}
    for part in text.split(b"&"):
        if not part:
            continue
        sent_name, _, sent_value = part.partition(b"=")
        name, value = _unquoted(sent_name), _unquoted(sent_value)
        if name not in fields:
            fields[name] = value
        elif isinstance(fields[name], Repeated):
            fields[name].append(value)
        else:
            fields[name] = Repeated([fields[name], value])
    return fields


def _unquoted(text: bytes) -> str:
    """Without escapes. In slices, for taken apart an escape needs a hundred times its room; runs of them at once."""
    parts: list[bytes] = []
    at = 0
    while at < len(text):
        end = at + _SLICE
        cut = text.rfind(b"%", end - 2, end) if end < len(text) else -1  # an escape is not cut in two
        end = cut if cut > at else end
        parts.append(_ESCAPES.sub(_bytes_of_escapes, text[at:end].replace(b"+", b" ")))
        at = end
    return b"".join(parts).decode(errors="replace")


def _bytes_of_escapes(found: re.Match[bytes]) -> bytes:
    return bytes.fromhex(found[0].replace(b"%", b"").decode())
