"""Filters: what may stand in a page's URL. What may not is refused by a page that names it and says what may."""

import re
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, datetime, timedelta
from typing import Annotated, Any, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    GetCoreSchemaHandler,
    GetJsonSchemaHandler,
    ModelWrapValidatorHandler,
    ValidationError,
    model_validator,
)
from pydantic_core import CoreSchema, core_schema

from gateway.dashboard.visitor import DONE
from gateway.http.refusal import RefusalError
from panda_fsm.errors import first_complaint
from panda_fsm.specs.values import Repeated, text
from panda_fsm.views.cursors import LONGEST, Cursors, Key

_SPAN = re.compile(r"([0-9]{1,6})(s|min|m|h|d|w)")
_UNIT = {"s": 1, "m": 60, "min": 60, "h": 3600, "d": 86_400, "w": 604_800}
_TIME = "such as 1h, 30min, 7d, or a time in UTC such as 2026-11-26T14:00"
_LONGEST_TEXT = 256
_SHOWN = 80


class FilterError(RefusalError):
    """A filter that says nothing here. `allowed`: name and meaning of those that do."""

    def __init__(self, message: str, allowed: tuple[tuple[str, str], ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


class Filters(BaseModel):
    """What a page may be asked for. A field without a value, as forms send it, is none."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="wrap")
    @classmethod
    def _or_told(cls, sent: Any, handler: ModelWrapValidatorHandler[Self]) -> Self:
        try:
            return handler({name: value for name, value in sent.items() if value != "" and name != DONE})
        except ValidationError as error:
            name, what = first_complaint(error)
            raise FilterError(_sentence(cls, name, what), tuple(_allowed(cls))) from None


def _sentence(model: type[Filters], name: str, what: str) -> str:
    field = name.partition(".")[0]
    if field not in model.model_fields:
        known = ", ".join(model.model_fields) or "none"
        return f"{field[:_SHOWN]!r} is no filter of this page; its filters: {known}"
    return f"{field}: {what}"


def _allowed(model: type[Filters]) -> Iterator[tuple[str, str]]:
    for name, field in model.model_fields.items():
        yield name, field.description or ""


class Read:
    """What reads a field, and what the API document says of it: `Annotated[int, Read(whole_number, {...})]`."""

    def __init__(self, read: Callable[[Any], Any], schema: dict[str, Any]) -> None:
        self._read: Callable[[Any], Any] = lambda sent: read(_single(sent))
        self._schema = schema

    def __get_pydantic_core_schema__(self, _source: Any, _handler: GetCoreSchemaHandler) -> CoreSchema:
        return core_schema.no_info_plain_validator_function(self._read)

    def __get_pydantic_json_schema__(self, _core: CoreSchema, _handler: GetJsonSchemaHandler) -> dict[str, Any]:
        return dict(self._schema)


def _single(sent: Any) -> Any:
    if isinstance(sent, Repeated):
        raise ValueError("may stand once only")
    return sent


def _text(sent: Any) -> str | None:
    found = text(sent)
    if found is not None and len(found) > _LONGEST_TEXT:
        raise ValueError(f"is longer than {_LONGEST_TEXT} characters")
    return found


def _whole(lowest: int, highest: int) -> Callable[[Any], int]:
    def read(sent: Any) -> int:
        shown = str(sent).strip()
        found = int(shown) if re.fullmatch(r"-?[0-9]{1,19}", shown) else lowest - 1
        if not lowest <= found <= highest:
            raise ValueError(f"must be a whole number from {lowest} to {highest}")
        return found

    return read


def later(sent: Any) -> datetime:
    """A time to come: so long from now, or as it is called. Raises ValueError."""
    return _moment(sent, timedelta(seconds=1))


def _moment(sent: Any, way: timedelta = timedelta(seconds=-1)) -> datetime:
    """A span is counted that way from now."""
    shown = str(sent).strip()
    if span := _SPAN.fullmatch(shown):
        return datetime.now(UTC) + way * min(int(span[1]) * _UNIT[span[2]], 50 * 365 * 86_400)
    try:
        found = datetime.fromisoformat(shown)
        return (found if found.tzinfo else found.replace(tzinfo=UTC)).astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"must be a time: {_TIME}") from None


def whole(lowest: int, highest: int) -> Any:
    """Beside `int` in an annotation: a number within these bounds."""
    return Read(_whole(lowest, highest), {"type": "integer", "minimum": lowest, "maximum": highest})


def one_of(words: Sequence[str]) -> Any:
    """Beside `str` in an annotation: one of these words."""

    def read(sent: Any) -> str:
        found = str(sent).strip()
        if found not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return found

    return Read(read, {"type": "string", "enum": list(words)})


def place(cursors: Cursors) -> Any:
    """Beside `Key` in an annotation: a place in that list."""

    def read(sent: Any) -> Key:
        return cursors.key(str(sent))

    return Read(read, {"type": "string", "maxLength": LONGEST})


Text = Annotated[str, Read(_text, {"type": "string", "maxLength": _LONGEST_TEXT})]
"""A word or a name, of one line."""
Moment = Annotated[datetime, Read(_moment, {"type": "string", "maxLength": 40})]
"""A time, or so long ago."""
Limit = Annotated[int, whole(1, 1000)]
SINCE = f"how far back: {_TIME}"
AFTER = "the place where the list goes on, as `next` gives it"
LIMIT = "so many rows, at most 1000"
"""What those fields mean, wherever they are."""
