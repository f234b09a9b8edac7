"""How the API document describes what is read tolerantly: numbers as text, one for a list, nothing in several ways."""

from collections.abc import Iterable
from typing import Any

from pydantic import WithJsonSchema

from panda_fsm.specs.names import FILE_ATTRIBUTES, JOB_ATTRIBUTES

_NOTHING = "^(NULL|None|null)?$"
_NO_FRACTION = r"(\.0{0,6})?"
_ID = rf"\+?0{{0,6}}[1-9][0-9]{{0,17}}{_NO_FRACTION}"
_IDS = rf"^[\s,]*({_ID}([\s,]+|$))*$"

AMOUNT = WithJsonSchema({"description": "A number or its text; what cannot be read was not said."})
REMARK = WithJsonSchema(
    {"description": "A short text of one line. What is longer is cut, what is no text was not said."}
)

PAGE = "^[1-9][0-9]{0,17}(@[1-9][0-9]{0,15})?$"
"""Where a list goes on: behind a PandaID, and of what ended behind the time of that, in microseconds since 1970."""
_WORD, _GAP = r"[^,\s\[\]]+", r"[,\s\[\]]+"
_JOB = (
    "The attributes of a job by position, and at the end the array of its files. Older clients send fewer: theirs are"
    " the first ones. NULL is nothing."
)


def flag(*, is_optional: bool = True) -> WithJsonSchema:
    """Yes or no, or its text."""
    forms: list[dict[str, Any]] = [
        {"type": "boolean"},
        {"type": "integer", "enum": [0, 1]},
        {"type": "string", "pattern": "^([Tt]rue|[Ff]alse|0|1)$"},
    ]
    if is_optional:
        forms += [{"type": "string", "pattern": _NOTHING}, {"type": "null"}]
    return WithJsonSchema({"anyOf": forms})


def number(least: int, most: int, *, is_optional: bool = True) -> WithJsonSchema:
    """A whole number within bounds, or its text."""
    digits = len(str(most + 1)) - 1  # so many are never too large
    first = "[+-]?[0-9]" if least < 0 else r"\+?[0-9]" if least == 0 else r"\+?[1-9]"
    as_text = f"{first}[0-9]{{0,{digits - 1}}}{_NO_FRACTION}"
    forms: list[dict[str, Any]] = [
        {"type": "integer", "minimum": least, "maximum": most},
        {"type": "string", "pattern": f"^{as_text}$"},
    ]
    if is_optional:
        forms += [{"type": "string", "pattern": _NOTHING}, {"type": "null"}]
    return WithJsonSchema({"anyOf": forms})


def short_text(longest: int) -> WithJsonSchema:
    """A text without control characters; numbers are taken by their digits."""
    as_text = {"type": "string", "maxLength": longest, "pattern": r"^[^\x00-\x1f\x7f]*$"}
    return WithJsonSchema({"anyOf": [as_text, {"type": "number"}, {"type": "null"}]})


def one_of(names: Iterable[str]) -> WithJsonSchema:
    """One of these texts."""
    return WithJsonSchema(
        {"anyOf": [{"type": "string", "enum": [str(name) for name in names]}, {"type": "string", "pattern": _NOTHING},
                   {"type": "null"}]}
    )  # fmt: skip


def text_like(pattern: str) -> WithJsonSchema:
    """A text that we wrote ourselves, given back."""
    return WithJsonSchema(
        {"anyOf": [{"type": "string", "pattern": pattern}, {"type": "string", "pattern": _NOTHING}, {"type": "null"}]}
    )


def options(most: int) -> WithJsonSchema:
    """A list of texts, or one text with commas."""
    as_text = f"^({_GAP})?({_WORD}({_GAP}{_WORD}){{0,{most - 1}}}({_GAP})?)?$"
    return WithJsonSchema(
        {
            "description": f"Up to {most} texts, or one text with commas.",
            "anyOf": [
                {"type": "array", "maxItems": most, "items": {}},
                {"type": "string", "pattern": as_text},
                {"type": "null"},
            ],
        }
    )


def ids(most: int) -> WithJsonSchema:
    """Ids of jobs: a list, a single one, or a text with commas."""
    one = {"type": "integer", "minimum": 1, "maximum": 2**63 - 1}
    either = {"anyOf": [one, {"type": "string", "pattern": f"^{_ID}$"}]}
    return WithJsonSchema(
        {"anyOf": [{"type": "array", "maxItems": most, "items": either}, one, {"type": "string", "pattern": _IDS}]}
    )


def reports(most: int) -> WithJsonSchema:
    """A list, or its JSON text as forms have it."""
    one = {"description": "As pilot/update_job takes it; one that is wrong has an answer of its own."}
    return WithJsonSchema({"anyOf": [{"type": "array", "maxItems": most, "items": one}, {"type": "string"}]})


def jobs(most: int) -> WithJsonSchema:
    """Positional arrays, or their JSON text as panda-client sends it."""
    attributes = "; ".join(f"{place} {name}" for place, name in enumerate(JOB_ATTRIBUTES))
    files = "; ".join(f"{place} {name}" for place, name in enumerate(FILE_ATTRIBUTES))
    described = f"{_JOB}\n\nAttributes: {attributes}.\n\nOf a file: {files}."
    job = {"type": "array", "minItems": 1, "items": {}, "description": described}
    as_text = {"type": "string", "minLength": 2, "description": "The JSON text of that list."}
    return WithJsonSchema({"anyOf": [{"type": "array", "minItems": 1, "maxItems": most, "items": job}, as_text]})
