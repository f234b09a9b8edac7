"""How much a JSON text holds and how deep, found out before it is parsed: values cost more than their bytes."""

from collections.abc import Iterator
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
_FREE_MARKS, _BYTES_A_MARK = 1_000_000, 32
"""Brackets and quotes are taken apart one by one where fields become texts: a second for four million of them."""
_MOST_KEPT = 100_000
"""Ends of values that stay as they are: a thousand reports with fifty lists each have half of it."""
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
    containers = values = names = depth = 0
    for outside, _ in _outside(text):
        values += outside.count(b",")
        names += outside.count(b":")
        brackets = outside.translate(None, _NO_BRACKETS)
        containers += brackets.count(b"{") + brackets.count(b"[")
        if containers > most_containers or values > most_values or names > most_names:
            raise _too_many(text)
        depths = _depths(brackets, depth)
        depth = depths[-1]
        if max(depths) > DEEPEST:
            raise UndecodableError(f"the body is not valid JSON: nested more than {DEEPEST} deep")


def check_flattening(text: bytes, depth_kept: int) -> None:
    """Raises TooLargeError where to make texts of what is deeper than `depth_kept` would cost much, or gain nothing:
    the list itself is too long."""
    most_marks = _FREE_MARKS + len(text) // _BYTES_A_MARK
    marks = kept = depth = 0
    for outside, quotes in _outside(text):
        brackets = outside.translate(None, _NO_BRACKETS)
        marks += quotes + len(brackets)
        if marks > most_marks:
            raise _too_many(text)
        depths = _depths(brackets, depth)
        depth = depths[-1]
        kept += sum(map(depths[1:].count, range(depth_kept + 1)))
        if kept > _MOST_KEPT:
            raise _too_many(text)


def _outside(text: bytes) -> Iterator[tuple[bytes, int]]:
    """Slice by slice what stands in no text, and how many quotes there are."""
    at = 0
    is_inside = False
    while at < len(text):
        part = text[at : at + _SLICE]
        if (len(part) - len(part.rstrip(b"\\"))) % 2 and len(part) > 1:
            part = part[:-1]  # an escape is not cut in two
        at += len(part)
        pieces = part.replace(b"\\\\", b"").replace(b'\\"', b"").split(b'"')
        yield b"".join(pieces[is_inside::2]), len(pieces) - 1
        is_inside ^= len(pieces) % 2 == 0


def _depths(brackets: bytes, depth: int) -> list[int]:
    """How deep it is before the first bracket, and behind each."""
    return list(accumulate(map(_STEP.__getitem__, brackets), initial=depth))


def _too_many(text: bytes) -> TooLargeError:
    return TooLargeError(f"the body holds too many values for its {len(text)} bytes")
