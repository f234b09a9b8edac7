"""How much a JSON text holds and how deep, found out before it is parsed: values cost more than their bytes."""

from itertools import accumulate

from gateway.http.refusal import TooLargeError, UndecodableError

SMALL = 64 * 1024
"""Whatever so few bytes hold is parsed in a millisecond."""
DEEPEST = 64
_SLICE = 256 * 1024
_FREE_CONTAINERS, _BYTES_A_CONTAINER = 64 * 1024, 64
_FREE_VALUES, _BYTES_A_VALUE = 3_000_000, 16
"""Ten thousand jobs with their files are so many; beyond it a value has as many bytes as honest ones have."""
_FREE_NAMES, _BYTES_A_NAME = 1_000_000, 128
"""A name of an object costs many times what a value costs."""
_STEP = {ord("{"): 1, ord("["): 1, ord("}"): -1, ord("]"): -1}
_NO_BRACKETS = bytes(set(range(256)) - set(_STEP))


def check(text: bytes) -> None:
    """Raises TooLargeError for more values than any honest text of its size, UndecodableError for more than 64 deep.

    Slice by slice, so that other threads come in between, and no further than needed.
    """
    if len(text) <= SMALL and text.count(b"{") + text.count(b"[") <= DEEPEST:
        return
    most_containers = _FREE_CONTAINERS + len(text) // _BYTES_A_CONTAINER
    most_values = _FREE_VALUES + len(text) // _BYTES_A_VALUE
    most_names = _FREE_NAMES + len(text) // _BYTES_A_NAME
    containers = values = names = depth = at = 0
    is_inside = False
    while at < len(text):
        part = text[at : at + _SLICE]
        if (len(part) - len(part.rstrip(b"\\"))) % 2 and len(part) > 1:
            part = part[:-1]  # an escape is not cut in two
        at += len(part)
        pieces = part.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        outside = b"".join(pieces[is_inside::2])
        is_inside ^= len(pieces) % 2 == 0
        values += outside.count(b",")
        names += outside.count(b":")
        brackets = outside.translate(None, _NO_BRACKETS)
        containers += brackets.count(b"{") + brackets.count(b"[")
        if containers > most_containers or values > most_values or names > most_names:
            raise TooLargeError(f"the body holds too many values for its {len(text)} bytes")
        depths = list(accumulate(map(_STEP.__getitem__, brackets), initial=depth))
        depth = depths[-1]
        if max(depths) > DEEPEST:
            raise UndecodableError(f"the body is not valid JSON: nested more than {DEEPEST} deep")
