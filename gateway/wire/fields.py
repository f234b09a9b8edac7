"""Field types that take what pilots and clients really send: numbers as text, "NULL" for nothing, single for list.

What decides (ids, states, filters) is strict; what is only noted or limits (sizes, names of machines) is adapted: cut,
replaced, brought into its bounds. Bounds stand inside the nullable type, so that nothing at all is always taken.
"""

import re
from typing import Annotated, Any

from pydantic import BeforeValidator, Field

from gateway.wire import sent
from panda_fsm.specs.values import LONGEST_TEXT, MAX_BIGINT, absent_to_none, number, remark, text, whole

MAX_IDS, LONGEST_ID = 10_000, 21
MAX_INT = 2**31 - 1
_FLAGS = {"true": True, "1": True, "false": False, "0": False}


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
