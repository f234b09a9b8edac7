"""Reads the payload's own job report, which production pilots send as metadata: GUIDs and events in its files."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

_MOST_EVENTS = 2**53


@dataclass(frozen=True, slots=True)
class Written:
    """What the payload says that it wrote into a file; "" and None where it does not say."""

    guid: str = ""
    events: int | None = None


NOTHING = Written()


def written(metadata: str | None) -> dict[str, Written]:
    """By LFN, of what says so; other metadata has none."""
    if not metadata:
        return {}
    try:
        report = json.loads(metadata)
    except (ValueError, RecursionError):
        return {}
    return _written(report)


def only_written(report: Any) -> str | None:
    """A report, decoded, that says what `written` reads of this one and nothing else; None if that is nothing."""
    files = [
        {"name": name, "file_guid": one.guid or None, "nentries": one.events} for name, one in _written(report).items()
    ]
    return json.dumps({"files": {"output": [{"subFiles": files}]}}, separators=(",", ":")) if files else None


def _written(report: Any) -> dict[str, Written]:
    files = {
        file["name"]: Written(
            guid if isinstance(guid := file.get("file_guid"), str) else "", _count(file.get("nentries"))
        )
        for output in _objects(_value(report, "files"), "output")
        for file in _objects(output, "subFiles")
        if isinstance(file.get("name"), str)
    }
    return {name: one for name, one in files.items() if one != NOTHING}


def _count(value: Any) -> int | None:
    is_one = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < _MOST_EVENTS
    return value if is_one else None


def _value(parent: Any, name: str) -> Any:
    return parent.get(name) if isinstance(parent, dict) else None


def _objects(parent: Any, name: str) -> Iterator[dict[str, Any]]:
    listed = _value(parent, name)
    return (one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict))
