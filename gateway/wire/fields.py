"""Field types that take what pilots and clients really send: numbers as text, "NULL" for nothing, single for list.

What decides (ids, states, filters) is strict; what is only noted or limits (sizes, names of machines) is adapted: cut,
replaced, brought into its bounds. Bounds stand inside the nullable type, so that nothing at all is always taken.
"""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gateway.http.decode import Repeated
from gateway.wire import sent

MAX_BIGINT = 2**63 - 1
MAX_IDS, LONGEST_ID = 10_000, 21
MAX_INT = 2**31 - 1
LONGEST_TEXT = 256
_ABSENT = ("", "NULL", "None", "null")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")
_BREAK = re.compile(r"[\t\n]")
_UNWRITABLE = re.compile(r"[\ud800-\udfff]")
_INTEGER = re.compile(r"[+-]?[0-9]{1,32}")
_DECIMAL = re.compile(r"[+-]?([0-9]+\.?[0-9]*|\.[0-9]+)([eE][+-]?[0-9]{1,4})?")
_FLAGS = {"true": True, "1": True, "false": False, "0": False}
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


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


def amount(value: Any) -> int | None:
    """How much of something: rounded down, within bounds; what cannot be read was not said."""
    try:
        found = number(value)
    except ValueError:
        return None
    return None if found is None else int(max(0, min(found, MAX_INT)))


def flag(value: Any) -> bool | None:
    """Yes or no, as forms and old clients say it too; None if nothing is said. Raises ValueError."""
    value = absent_to_none(value)
    if value is None or isinstance(value, bool):
        return value
    said = str(value).strip().lower() if isinstance(value, str | int) else ""
    if said not in _FLAGS:
        raise ValueError("must be true or false")
    return _FLAGS[said]


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
    return printable(_BREAK.sub(" ", str(value)[: 2 * LONGEST_TEXT]), LONGEST_TEXT).strip() or None


def printable(value: str, limit: int) -> str:
    """Free text for storing: cut to `limit`, without control characters (the database refuses NUL) and half pairs."""
    return _CONTROL.sub("", _UNWRITABLE.sub(_REPLACEMENT, value[: 2 * limit]))[:limit]


def as_list(value: Any) -> Any:
    """A list from a list, from one value, or from a text with commas."""
    if isinstance(value, str):
        if len(value) > MAX_IDS * LONGEST_ID:
            raise ValueError("holds too many")
        return [part for part in re.split(r"[,\s\[\]]+", value) if part]
    return value if isinstance(value, list) or value is None else [value]


NonNegative = Annotated[
    Annotated[int, Field(ge=0, le=MAX_BIGINT)] | None, BeforeValidator(whole), sent.number(0, MAX_BIGINT)
]
Amount = Annotated[int | None, BeforeValidator(amount), sent.AMOUNT]
Flag = Annotated[bool, BeforeValidator(flag), sent.flag(is_optional=False)]
OptionalFlag = Annotated[bool | None, BeforeValidator(flag), sent.flag()]
JobId = Annotated[
    int, Field(ge=1, le=MAX_BIGINT), BeforeValidator(whole), sent.number(1, MAX_BIGINT, is_optional=False)
]
Text = Annotated[
    Annotated[str, Field(max_length=LONGEST_TEXT)] | None, BeforeValidator(text), sent.short_text(LONGEST_TEXT)
]
Remark = Annotated[str | None, BeforeValidator(remark), sent.REMARK]
Anything = Annotated[Any, BeforeValidator(absent_to_none)]
# The first that is wrong is enough, and how many there are is known before they are read.
JobIds = Annotated[list[JobId], Field(max_length=MAX_IDS, fail_fast=True), BeforeValidator(as_list), sent.ids(MAX_IDS)]
