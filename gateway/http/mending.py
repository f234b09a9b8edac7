"""Mends JSON as others write it, slice by slice, so that other threads come in between however long it is.

Of what stands in a text and what outside of it each is mended in its own way; quotes and backslashes that belong to a
text have other bytes meanwhile, which no UTF-8 has.
"""

import math
import re
from codecs import getincrementaldecoder
from collections.abc import Iterator

from gateway.http.refusal import UndecodableError

_SLICE = 256 * 1024
_LONGEST_NUMBER = 64 * 1024
_BACKSLASH, _QUOTE = b"\xfe", b"\xff"
_OF_A_WORD = bytes(byte for byte in range(256) if chr(byte) in "+-." or (chr(byte).isalnum() and byte < 128))
_NO_NUMBER = re.compile(rb"-?\b(?:NaN|Infinity)\b")
_BEYOND = re.compile(rb"(?<![0-9.])-?(?:[0-9][0-9.]{299,}(?:[eE][-+]?[0-9]+)?|[0-9][0-9.]*[eE]\+?[0-9]{3,})")
"""Digits that may be more than a number can be."""
_HALVES = re.compile(rb"\\u[dD](?:[89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}|[89a-fA-F][0-9a-fA-F]{2})")
"""A surrogate pair, or half of one, which nobody can write down."""
_ONE = 6  # characters of an escape
_UNFINISHED = re.compile(rb"\\(?:u[0-9a-fA-F]{0,3}|u[dD][89abAB][0-9a-fA-F]{2}(?:\\(?:u[0-9a-fA-F]{0,3})?)?)$")
_LONGEST_UNFINISHED = 11
_ESCAPES = ((b"\n", rb"\n"), (b"\t", rb"\t"), (b"\r", rb"\r"))
_CONTROL = bytes(range(32))
_LEFT_OUT = bytes(set(_CONTROL) - set(b"\n\t\r"))
_BRACKET = re.compile(rb"[][{}]")


def mended(text: bytes) -> bytes:
    """NaN, infinities and numbers beyond all bounds become null, what is no character U+FFFD; of control characters in
    a text line ends and tabs are kept. Raises UndecodableError."""
    parts: list[bytes] = []
    for pieces, is_inside in _slices(text):
        for of_text in (False, True):
            first = is_inside ^ of_text
            if len(pieces) > first:
                joined = b'"'.join(pieces[first::2])
                pieces[first::2] = (_mended_text(joined) if of_text else _mended_numbers(joined)).split(b'"')
        parts.append(_written(b'"'.join(pieces)))
    return b"".join(parts)


def flattened(text: bytes, depth_kept: int) -> bytes:
    """Objects and lists deeper than that become texts, as they were sent: so they cost what a text of them costs."""
    flat = bytearray()  # of short pieces a list would cost many times their bytes
    depth = 0
    for pieces, is_inside in _slices(text):
        for number, piece in enumerate(pieces):
            if number:
                flat += b'"' if depth <= depth_kept else rb"\""
            if is_inside ^ (number % 2):
                flat += _written(piece) if depth <= depth_kept else _quoted(piece)
            else:
                depth = _flatten(piece, depth, depth_kept, flat)
    return bytes(flat)


def _slices(text: bytes) -> Iterator[tuple[list[bytes], bool]]:
    """The text split at its quotes, and whether the first piece of a slice stands in a text."""
    decoder = getincrementaldecoder("utf-8")("replace")
    rest = b""
    is_inside = False
    for at in range(0, len(text), _SLICE):
        is_last = at + _SLICE >= len(text)
        part = rest + decoder.decode(text[at : at + _SLICE], is_last).encode()
        half = b"\\" if (len(part) - len(part.rstrip(b"\\"))) % 2 and not is_last else b""
        plain = part[: len(part) - len(half)].replace(rb"\\", _BACKSLASH).replace(rb"\"", _QUOTE)
        pieces = plain.split(b'"')
        ends_inside = is_inside ^ (len(pieces) % 2 == 0)
        whole = pieces[-1] if is_last else _whole(pieces[-1], ends_inside)
        rest = pieces[-1][len(whole) :] + half
        pieces[-1] = whole
        yield pieces, is_inside
        is_inside = ends_inside


def _whole(piece: bytes, is_text: bool) -> bytes:
    """Without the escape or the number that may go on in the next slice."""
    if not is_text:
        whole = piece.rstrip(_OF_A_WORD)
        if len(piece) - len(whole) > _LONGEST_NUMBER:
            raise UndecodableError("the body is not valid JSON: it holds a number without end")
        return whole
    unfinished = _UNFINISHED.search(piece, max(0, len(piece) - _LONGEST_UNFINISHED))
    return piece[: unfinished.start()] if unfinished else piece


def _mended_numbers(outside: bytes) -> bytes:
    return _BEYOND.sub(_finite, _NO_NUMBER.sub(b"null", outside))


def _finite(found: re.Match[bytes]) -> bytes:
    try:
        return found[0] if math.isfinite(float(found[0])) else b"null"
    except ValueError:
        return found[0]


def _mended_text(inside: bytes) -> bytes:
    if len(inside.translate(None, _CONTROL)) != len(inside):
        inside = inside.translate(None, _LEFT_OUT)
        for raw, escape in _ESCAPES:
            inside = inside.replace(raw, escape)
    if rb"\ud" in inside or rb"\uD" in inside:
        inside = _HALVES.sub(lambda found: found[0] if len(found[0]) > _ONE else rb"\ufffd", inside)
    return inside


def _flatten(piece: bytes, depth: int, depth_kept: int, flat: bytearray) -> int:
    """Add a piece that stands in no text; how deep it ends."""
    at = 0
    for found in _BRACKET.finditer(piece):
        opens = found[0] in b"{["
        if opens and depth == depth_kept:
            flat += piece[at : found.start()] + b'"'
            at = found.start()
        elif not opens and depth == depth_kept + 1:
            flat += piece[at : found.end()] + b'"'
            at = found.end()
        depth += 1 if opens else -1
    flat += piece[at:]
    return depth


def _written(piece: bytes) -> bytes:
    return piece.replace(_QUOTE, rb"\"").replace(_BACKSLASH, rb"\\")


def _quoted(piece: bytes) -> bytes:
    """The same as a text inside a text."""
    return piece.replace(b"\\", rb"\\").replace(_QUOTE, rb"\\\"").replace(_BACKSLASH, rb"\\\\")
