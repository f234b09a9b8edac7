"""A view as JSON and as CSV: ids are texts, times ISO in UTC, and no cell is a formula to who opens it."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from functools import lru_cache
from typing import Any

import orjson

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what a text begins that a spreadsheet would compute."""
_SAFE_INTEGER = 2**53
_AS_THEY_ARE = frozenset({str, float, bool})
"""What nearly all values are."""


def plain(value: Any, name: str = "") -> Any:
    """A value as JSON has it. A number is a text where it is an id, or larger than browsers count exactly."""
    if value is None or type(value) in _AS_THEY_ARE:
        return value
    if is_dataclass(value) and not isinstance(value, type):
        return {part: plain(getattr(value, part), part) for part in _names(type(value))}
    if isinstance(value, Enum):
        return plain(value.value, name)
    if isinstance(value, datetime):
        return value.astimezone(UTC).isoformat(timespec="milliseconds")
    if isinstance(value, Mapping):
        return {str(key): plain(part, str(key)) for key, part in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [plain(part, name) for part in value]
    if isinstance(value, int) and not isinstance(value, bool):
        is_id = name == "id" or name.endswith(("_id", "_ids"))
        return str(value) if is_id or abs(value) > _SAFE_INTEGER else value
    return value


@lru_cache(maxsize=256)
def _names(row: type) -> tuple[str, ...]:
    return tuple(field.name for field in fields(row))


def as_json(view: Any, at: datetime) -> bytes:
    """The view, and as of when."""
    return orjson.dumps({"as_of": plain(at)} | plain(view), option=orjson.OPT_NON_STR_KEYS)


def as_csv(row: type, rows: Iterable[Any]) -> str:
    """The view's rows, under the names of their fields."""
    names = _names(row)
    written = io.StringIO()
    writer = csv.writer(written)
    writer.writerow(names)
    for one in rows:
        writer.writerow([_cell(plain(getattr(one, name), name)) for name in names])
    return written.getvalue()


def _cell(value: Any) -> str:
    if isinstance(value, dict | list):
        value = orjson.dumps(value, option=orjson.OPT_NON_STR_KEYS).decode()
    if isinstance(value, str):
        value = value.replace("\0", "")
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else str(value)
