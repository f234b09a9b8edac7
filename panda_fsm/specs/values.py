"""Values as others write them: numbers as text, "NULL" for nothing."""

import math
import re
from typing import Any

MAX_BIGINT = 2**63 - 1
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
LONGEST_TEXT = 256
_ABSENT = ("", "NULL", "None", "null")
_BREAK = re.compile(r"[\t\n]")
_UNWRITABLE = re.compile(r"[\ud800-\udfff]")
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_INTEGER = re.compile(r"[+-]?[0-9]{1,32}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")


class Repeated(list[str]):
    """A form's or query's field that came more than once; who takes one value takes the last, as of JSON."""


def absent_to_none(value: Any) -> Any:
    """None for every way in which the protocol says that there is no value; of what a form repeats, the last."""
    if isinstance(value, Repeated):
        value = value[-1]
    return None if isinstance(value, str) and value.strip() in _ABSENT else value


def number(value: Any) -> int | float | None:
    """A finite number from a number or its text; None if there is no value. Raises ValueError."""
    value = absent_to_none(value)
    if value is None:
        return None
    if isinstance(value, str):
        value = value.strip()
        if _INTEGER.fullmatch(value):
            value = int(value)
        elif len(value) <= 64 and _DECIMAL.fullmatch(value):
            value = float(value)
        else:
            raise ValueError("is not a number")
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("is not a number")
    return value


def whole(value: Any) -> int | None:
    """A whole number from a number or its text. Raises ValueError."""
    found = number(value)
    if found is None:
        return None
    if isinstance(found, float) and (not found.is_integer() or (isinstance(value, str) and "e" in value.lower())):
        raise ValueError("is not a whole number")  # nor is 4.2e16, which stands for no number in particular
    if not -MAX_BIGINT <= found <= MAX_BIGINT:
        raise ValueError("is out of range")
    return int(found)


def text(value: Any) -> str | None:
    """A short text; numbers are taken by their digits. Raises ValueError for control characters."""
    value = absent_to_none(value)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("is not a text")
    clean = str(value).strip()
    if _CONTROL.search(clean) or "\n" in clean or "\t" in clean:
        raise ValueError("contains control characters")
    return clean


def remark(value: Any) -> str | None:
    """A short text that nothing depends on, of one line: cut, and what cannot be kept is left out."""
    value = absent_to_none(value)
    if value is None or isinstance(value, dict | list):
        return None
    return one_line(str(value), LONGEST_TEXT) or None


def one_line(value: str, limit: int) -> str:
    """Free text as one line of at most so many characters."""
    return printable(_BREAK.sub(" ", value[: 2 * limit]), limit).strip()


def printable(value: str, limit: int) -> str:
    """Free text for storing: cut to `limit`, without control characters (the database refuses NUL) and half pairs."""
    return _CONTROL.sub("", _UNWRITABLE.sub(_REPLACEMENT, value[: 2 * limit]))[:limit]
