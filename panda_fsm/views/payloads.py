"""A message's body as people read and edit it: JSON laid out, packed bodies unpacked, bytes dumped; never too much."""

import difflib
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from pydantic_core import from_json

from panda_fsm.errors import LetterError
from panda_fsm.views.redaction import SHADE, Redaction, named

SHOWN_BYTES = 64 * 1024
"""Of a body, so many are read to show it, and so many characters are shown; a larger one is not edited here."""
_LAID_OUT = 4 * SHOWN_BYTES
"""Characters of a text that is edited: a value a line takes more room."""
_DUMPED = 1024
_IN_A_ROW = 16
_GZIP = b"\x1f\x8b"
_GZIP_WINDOW = 16 + zlib.MAX_WBITS
_MOST_LINES = 2000
"""Two texts of more lines are not compared line by line, which may take as long as their product."""
_AROUND = 3


@dataclass(frozen=True, slots=True)
class Shown:
    """What is shown of a body of `size` bytes: its `form` in a word, the text, how many secrets are hidden in it."""

    form: str
    text: str
    size: int
    is_cut: bool
    hidden: int


def show(beginning: bytes, size: int) -> Shown:
    """A body, of which only the beginning need be here. Whatever is in it, this is a text."""
    body = beginning[:SHOWN_BYTES]
    is_cut, form = size > len(body), ""
    if body.startswith(_GZIP):
        unpacked = _unpacked(body)
        if unpacked:
            is_cut, form, body = is_cut or len(unpacked) > SHOWN_BYTES, ", packed by gzip", unpacked[:SHOWN_BYTES]
    text = _text_of(body, is_cut)
    if text is None:
        return Shown(f"bytes{form}", _dumped(body), size, is_cut or len(body) > _DUMPED, 0)
    redaction = Redaction()
    try:
        content = from_json(body, allow_partial="trailing-strings" if is_cut else False)
    except ValueError:
        return Shown(f"text{form}", redaction.text(text), size, is_cut, redaction.hidden)
    laid_out = _laid_out(redaction.shown(content), SHOWN_BYTES)
    shown = laid_out[:SHOWN_BYTES]
    return Shown(f"JSON{form}", shown, size, is_cut or len(shown) < len(laid_out), redaction.hidden)


def to_edit(body: bytes) -> str:
    """A body as it is edited: its secrets hidden. Raises LetterError for what cannot be edited so."""
    return _laid_out_to_edit(body)[0]


def edited(body: bytes, wanted: str) -> tuple[bytes, str]:
    """What is sent in place of `body`, and the difference as people read it.

    What is hidden in `wanted` is what `body` has there. Raises LetterError where it is not, or would be shown.
    """
    before, redaction = _laid_out_to_edit(body)
    if len(wanted) > _LAID_OUT:
        raise LetterError(f"an edited copy may have {_LAID_OUT >> 10} kB")
    wanted = wanted.replace("\r\n", "\n")
    if redaction is None:
        return wanted.encode(), difference(before, wanted)
    try:
        content = from_json(wanted)
    except ValueError as error:
        raise LetterError(f"the edited copy is no JSON: {error}") from None
    restored, again = redaction.restored(content), Redaction()
    again.shown(restored)
    if again.hidden < named(content):
        raise LetterError("the edited copy would show what is hidden now: leave that under its name")
    sent = json.dumps(restored, ensure_ascii=False, separators=(",", ":")).encode()
    return sent, difference(before, _laid_out(Redaction(redaction.hidden).shown(content)))


def difference(before: str, after: str) -> str:
    """The lines that differ, with those around them; "" where none do."""
    old, new = before.splitlines(), after.splitlines()
    if max(len(old), len(new)) <= _MOST_LINES:
        return "\n".join(islice(difflib.unified_diff(old, new, n=_AROUND, lineterm=""), 2, None))
    start = _alike(old, new)
    end = _alike(old[start:][::-1], new[start:][::-1])
    old, new = old[start : len(old) - end], new[start : len(new) - end]
    return "\n".join([*(f"-{line}" for line in old), *(f"+{line}" for line in new)])


def _alike(one: Sequence[str], other: Sequence[str]) -> int:
    """So many lines are the same from the beginning."""
    count = 0
    for left, right in zip(one, other, strict=False):
        if left != right:
            break
        count += 1
    return count


def _laid_out_to_edit(body: bytes) -> tuple[str, Redaction | None]:
    """The text to edit, and its secrets where it is JSON: in other texts nothing is hidden that must be put back."""
    if len(body) > SHOWN_BYTES:
        raise LetterError(f"it has {len(body):,} bytes: only up to {SHOWN_BYTES >> 10} kB are edited here")
    text = _text_of(body, is_cut=False)
    if text is None:
        raise LetterError("it is no text: nothing of it can be edited here")
    try:
        content = from_json(body)
    except ValueError:
        content = None
    laid_out = text if content is None else _laid_out(content)
    if SHADE in laid_out:
        raise LetterError(f"it holds {SHADE} itself, which stands for what is hidden: it cannot be edited here")
    if len(laid_out) > _LAID_OUT:
        raise LetterError("it holds too many values: it cannot be edited here")
    redaction = Redaction()
    if content is not None:
        return _laid_out(redaction.shown(content)), redaction
    if redaction.text(text) != text:
        raise LetterError("it is no JSON and holds what must be hidden: it cannot be edited here")
    return text, None


def _laid_out(content: Any, most: int = _LAID_OUT) -> str:
    """JSON, a value a line; no further than a little above so many characters."""
    parts: list[str] = []
    length = 0
    for part in json.JSONEncoder(ensure_ascii=False, indent=2).iterencode(content):
        parts.append(part)
        length += len(part)
        if length > most:
            break
    return "".join(parts)


def _text_of(body: bytes, is_cut: bool) -> str | None:
    """The text that it is; None for bytes. Where it is cut, half a character may be left at its end."""
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        if not is_cut or error.start < len(body) - 3:
            return None
        text = body[: error.start].decode()
    return None if "\0" in text else text


def _unpacked(body: bytes) -> bytes:
    """The beginning of what was packed; nothing where it was not."""
    try:
        return zlib.decompressobj(_GZIP_WINDOW).decompress(body, SHOWN_BYTES + 1)
    except zlib.error:
        return b""


def _dumped(body: bytes) -> str:
    """Bytes as numbers, and as characters where they are some."""
    lines = []
    for at in range(0, min(len(body), _DUMPED), _IN_A_ROW):
        row = body[at : at + _IN_A_ROW]
        characters = "".join(chr(octet) if 32 <= octet < 127 else "." for octet in row)
        lines.append(f"{at:06x}  {row.hex(' '):<{3 * _IN_A_ROW}} {characters}")
    return "\n".join(lines)
