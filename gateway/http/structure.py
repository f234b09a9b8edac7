"""How much a JSON text holds, found out before it is parsed: a few bytes a value cost more than they look."""

from typing import Any

from gateway.http.refusal import TooLargeError, UndecodableError

SMALL = 64 * 1024
"""Whatever so few bytes hold is parsed in a millisecond."""
DEEPEST = 64
_TOO_DEEP = f"the body is not valid JSON: nested more than {DEEPEST} deep"
_SLICE = 256 * 1024
_FREE_CONTAINERS, _BYTES_A_CONTAINER = 64 * 1024, 64
_FREE_VALUES, _BYTES_A_VALUE = 100_000, 8


def check_amount(text: bytes) -> None:
    """Raises TooLargeError when `text` holds more values than any honest one of its size, UndecodableError when deep.

    Slice by slice, so that other threads come in between, and no further than needed.
    """
    most_containers = _FREE_CONTAINERS + len(text) // _BYTES_A_CONTAINER
    most_values = _FREE_VALUES + len(text) // _BYTES_A_VALUE
    containers = values = depth = at = 0
    is_inside = False
    while at < len(text):
        part = text[at : at + _SLICE]
        if (len(part) - len(part.rstrip(b"\\"))) % 2 and len(part) > 1:
            part = part[:-1]  # an escape is not cut in two
        at += len(part)
        pieces = part.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[is_inside::2])
        is_inside ^= len(pieces) % 2 == 0
        opened = outside.count(b"{") + outside.count(b"[")
        containers += opened
        values += outside.count(b",")
        depth += opened - outside.count(b"}") - outside.count(b"]")
        if depth > DEEPEST:
            raise UndecodableError(_TOO_DEEP)
        if containers > most_containers or values > most_values:
            raise TooLargeError(f"the body holds too many values for its {len(text)} bytes")


def check_depth(text: bytes, value: Any) -> None:
    """Raises UndecodableError when lists and objects stand in each other more than 64 deep."""
    if text.count(b"{") + text.count(b"[") <= DEEPEST:
        return
    level = [value]
    for _ in range(DEEPEST):
        level = [part for whole in level for part in _parts(whole) if isinstance(part, dict | list)]
        if not level:
            return
    raise UndecodableError(_TOO_DEEP)


def _parts(whole: Any) -> Any:
    if isinstance(whole, dict):
        return whole.values()
    return whole if isinstance(whole, list) else ()
