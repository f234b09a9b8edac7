"""A view as JSON and as CSV: ids are texts, times ISO in UTC, and no cell is a formula to who opens it."""

import csv
import io
from collections.abc import Iterable, Mapping
from dataclasses import fields, is_dataclass
from datetime import UTC, datetime
from enum import Enum
from typing import Any

import orjson

_FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""With what a text begins that a spreadsheet would compute."""
_SAFE_INTEGER = 2**53


def plain(value: Any, name: str = "") -> Any:
    """A value as JSON has it. A number is a text where it is an id, or larger than browsers count exactly."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name), field.name) for field in fields(value)}
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


def as_json(view: Any, at: datetime) -> bytes:
    """The view, and as of when."""
    return orjson.dumps({"as_of": plain(at)} | plain(view), option=orjson.OPT_NON_STR_KEYS)


def as_csv(row: type, rows: Iterable[Any]) -> str:
    """The view's rows, under the names of their fields."""
    names = [field.name for field in fields(row)]
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
