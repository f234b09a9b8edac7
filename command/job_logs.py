"""The lines of our logs that are about one job, in the order of time, whichever process wrote them."""

import heapq
import json
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_ONE, _MANY = ("job_id", "PandaID"), ("job_ids", "jobs")
"""Under which names lines have jobs; elsewhere a number may be anything."""
_FIRST = ("timestamp", "service", "level", "event")
_MOST = 10_000
_LONGEST = 1_000_000
"""A longer line is none of ours."""


@dataclass(order=True, frozen=True, slots=True)
class Line:
    """What a process said, and when."""

    at: str
    said: Mapping[str, Any] = field(compare=False)


def lines(places: str, job_id: int, messages: Collection[str]) -> list[Line]:
    """Those that name the job, or one of the messages by which it moved; of too many the last."""
    sought = [str(job_id).encode(), *(message.encode() for message in messages)]
    files = sorted({path for pattern in places.split(":") for path in _files(Path(pattern))})
    found = (line for path in files for line in _of_file(path, job_id, sought, messages))
    return sorted(heapq.nlargest(_MOST, found))


def sentence(said: Mapping[str, Any]) -> str:
    """A line as people read it."""
    first = " ".join(f"{said.get(name, '')}" for name in _FIRST)
    rest = " ".join(f"{name}={value}" for name, value in said.items() if name not in _FIRST)
    return f"{first} {rest}".rstrip()


def _files(pattern: Path) -> Iterable[Path]:
    return Path(pattern.anchor or ".").glob(str(pattern.relative_to(pattern.anchor)))


def _of_file(path: Path, job_id: int, sought: list[bytes], messages: Collection[str]) -> Iterator[Line]:
    """A file that may not be read says nothing here; whoever looks sees in which files was looked."""
    try:
        with path.open("rb") as file:
            while raw := file.readline(_LONGEST):
                # Most lines are about others: they are not decoded.
                said = _decoded(raw) if any(one in raw for one in sought) else None
                if said is not None and _is_about(said, job_id, messages):
                    yield Line(str(said.get("timestamp", "")), said)
    except OSError:
        return


def _decoded(raw: bytes) -> dict[str, Any] | None:
    try:
        found = json.loads(raw)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) else None


def _is_about(said: Mapping[str, Any], job_id: int, messages: Collection[str]) -> bool:
    """Whether it names the job, or anywhere one of its messages; 47 is not 4711."""
    if _names([said.get(name) for name in _ONE], job_id) or any(_names(said.get(name), job_id) for name in _MANY):
        return True
    return any(word in messages for value in said.values() for word in _words(value))


def _names(ids: Any, job_id: int) -> bool:
    """Whether the job is in a list of ids; what is no list counts jobs."""
    return isinstance(ids, list) and any(one in (job_id, str(job_id)) for one in ids)


def _words(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list):
        yield from (one for one in value if isinstance(one, str))
