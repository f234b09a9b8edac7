"""Field types that take what pilots and clients really send: numbers as text, "NULL" for nothing, single for list."""

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

MAX_BIGINT = 2**63 - 1
_ABSENT = ("", "NULL", "None", "null")
_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f]")


def absent_to_none(value: Any) -> Any:
    """None for every way in which the protocol says that there is no value."""
    return None if isinstance(value, str) and value.strip() in _ABSENT else value


def whole(value: Any) -> int | None:
    """A whole number from a number or its text. Raises ValueError."""
    value = absent_to_none(value)
    if value is None:
        return None
    if isinstance(value, str):
        if len(value) > 32:
            raise ValueError("is not a number")
        try:
            value = float(value) if re.search(r"[.eE]", value) else int(value)
        except ValueError:
            raise ValueError("is not a number") from None
    if isinstance(value, bool) or not isinstance(value, int | float) or not math.isfinite(value):
        raise ValueError("is not a number")
    if not -MAX_BIGINT <= value <= MAX_BIGINT:
        raise ValueError("is out of range")
    return int(value)


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


def printable(value: str, limit: int) -> str:
    """Free text for storing: control characters out (the database refuses NUL), cut to `limit`."""
    return _CONTROL.sub("", value)[:limit]


def as_list(value: Any) -> Any:
    """A list from a list, from one value, or from a text with commas."""
    if isinstance(value, str):
        return [part for part in re.split(r"[,\s\[\]]+", value) if part]
    return value if isinstance(value, list) or value is None else [value]


Whole = Annotated[int | None, BeforeValidator(whole)]
NonNegative = Annotated[int | None, Field(ge=0), BeforeValidator(whole)]
JobId = Annotated[int, Field(ge=1, le=MAX_BIGINT), BeforeValidator(whole)]
Text = Annotated[str | None, Field(max_length=256), BeforeValidator(text)]
JobIds = Annotated[list[JobId], BeforeValidator(as_list)]
