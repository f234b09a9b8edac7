"""What log lines name, so that one search finds all about a job: `job_ids`, `message_id` and `message_ids`."""

from collections.abc import Iterable
from itertools import islice
from typing import Any, TypeVar

from pydantic_core import from_json

One = TypeVar("One")
_MOST = 50
"""So many ids in a line: it is written in one piece, and read by people."""


def few(ids: Iterable[One]) -> list[One]:
    """The first of them."""
    return list(islice(ids, _MOST))


def named_in(body: bytes) -> dict[str, Any]:
    """The ids in the body of a message, whatever it is: those that cannot be read are the ones that must be found."""
    try:
        content = from_json(body)
    except ValueError:
        return {}
    if not isinstance(content, dict):
        return {}
    many = content.get("jobs")
    jobs = [content.get("job_id"), *(many if isinstance(many, list) else ())]
    found = [one.get("job_id") if isinstance(one, dict) else one for one in jobs]
    named: dict[str, Any] = {"job_ids": few(one for one in found if isinstance(one, int))}
    if isinstance(content.get("message_id"), str):
        named["message_id"] = content["message_id"][:40]
    return named
