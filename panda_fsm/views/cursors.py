"""Where a list goes on: the key of its last row, as a text that nobody has to understand."""

import base64
import binascii
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Generic, TypeVar

from panda_fsm.specs.values import MAX_BIGINT

LONGEST = 800
_LONGEST_PART = 500
_NOWHERE = "is no place in this list; leave it out to begin with the first rows"
_KEPT: Mapping[type, Callable[[Any], bool]] = {
    int: lambda part: -MAX_BIGINT <= part <= MAX_BIGINT,
    str: lambda part: len(part) <= _LONGEST_PART and part.isprintable(),
    datetime: lambda part: part.tzinfo is not None,
}
Row = TypeVar("Row")
Key = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Part(Generic[Row]):
    """Some rows of a list, and what to ask for to get those behind them; None: these were the last."""

    rows: tuple[Row, ...]
    next: str | None = None


class Cursors:
    """The cursors of one list: its name, and of what its keys are made (int, str, datetime)."""

    def __init__(self, name: str, *kinds: type) -> None:
        self.name = name
        self._kinds = kinds

    def text(self, key: Sequence[Any]) -> str:
        """A key as a text for a URL."""
        parts = [part.astimezone(UTC).isoformat() if isinstance(part, datetime) else part for part in key]
        return base64.urlsafe_b64encode(json.dumps([self.name, *parts]).encode()).decode().rstrip("=")

    def key(self, text: str) -> Key:
        """What `text` made. Raises ValueError for everything else."""
        try:
            padded = text + "=" * (-len(text) % 4)
            found = json.loads(base64.b64decode(padded, b"-_", validate=True)) if len(text) <= LONGEST else None
        except (binascii.Error, UnicodeError, ValueError, RecursionError):
            found = None
        if not isinstance(found, list) or len(found) != 1 + len(self._kinds) or found[0] != self.name:
            raise ValueError(_NOWHERE)
        return tuple(_read(kind, part) for kind, part in zip(self._kinds, found[1:], strict=True))

    def part(self, rows: Sequence[Row], limit: int, key: Callable[[Row], Sequence[Any]]) -> Part[Row]:
        """At most `limit` of the rows, of which one more was asked for: is it there, so are others behind it."""
        shown = tuple(rows[:limit])
        return Part(shown, self.text(key(shown[-1])) if shown and len(rows) > limit else None)


def _read(kind: type, part: Any) -> Any:
    found = datetime.fromisoformat(part) if kind is datetime and isinstance(part, str) else part
    if type(found) is not kind or not _KEPT[kind](found):
        raise ValueError(_NOWHERE)
    return found
