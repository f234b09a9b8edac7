"""Reads the payload's own job report, which production pilots send as metadata: the GUIDs that are in its files."""

import json
from collections.abc import Iterator
from typing import Any


def guids_of(metadata: str | None) -> dict[str, str]:
    """GUIDs by LFN, of what says so; other metadata has none."""
    if not metadata:
        return {}
    try:
        report = json.loads(metadata)
    except (ValueError, RecursionError):
        return {}
    return _guids(report)


def only_guids(report: Any) -> str | None:
    """A report, decoded, that says what `guids_of` reads of this one and nothing else; None if that is nothing."""
    files = [{"name": name, "file_guid": guid} for name, guid in _guids(report).items()]
    return json.dumps({"files": {"output": [{"subFiles": files}]}}, separators=(",", ":")) if files else None


def _guids(report: Any) -> dict[str, str]:
    return {
        file["name"]: file["file_guid"]
        for output in _objects(_value(report, "files"), "output")
        for file in _objects(output, "subFiles")
        if isinstance(file.get("name"), str) and isinstance(file.get("file_guid"), str)
    }


def _value(parent: Any, name: str) -> Any:
    return parent.get(name) if isinstance(parent, dict) else None


def _objects(parent: Any, name: str) -> Iterator[dict[str, Any]]:
    listed = _value(parent, name)
    return (one for one in (listed if isinstance(listed, list) else ()) if isinstance(one, dict))
