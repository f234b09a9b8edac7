"""Writes YAML for people to read: blocks, plain words where they stay words, everything else as JSON, which is YAML."""

import json
import re
from collections.abc import Iterator
from typing import Any

_PLAIN = re.compile(r"[A-Za-z$/_][\w$/.\-]*( [\w$/(][\w$/.,;()\-]*)*", re.ASCII)
_WORDS_OF_YAML = frozenset({"y", "n", "yes", "no", "on", "off", "true", "false", "null"})


def yaml(content: Any) -> str:
    """A document with a line at its end."""
    return "\n".join(_lines(content, "")) + "\n"


def _lines(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict) and value:
        for name, part in value.items():
            yield from _entry(f"{indent}{_scalar(str(name))}:", part, indent + "  ")
    elif isinstance(value, list) and value:
        for part in value:
            first, *rest = _lines(part, indent + "  ")
            yield f"{indent}- {first[len(indent) + 2 :]}"
            yield from rest
    else:
        yield indent + _scalar(value)


def _entry(name: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, dict | list) and value:
        yield name
        yield from _lines(value, indent)
    elif isinstance(value, str) and _is_block(value):
        yield f"{name} |-"
        yield from (f"{indent}{line}" if line else "" for line in value.split("\n"))
    else:
        yield f"{name} {_scalar(value)}"


def _is_block(text: str) -> bool:
    """Whether it has lines that may stand as they are."""
    return (
        "\n" in text
        and text == text.strip()
        and all(line == line.rstrip() and line.isprintable() for line in text.split("\n"))
    )


def _scalar(value: Any) -> str:
    if isinstance(value, str) and _PLAIN.fullmatch(value) and value.lower() not in _WORDS_OF_YAML:
        return value
    return json.dumps(value, ensure_ascii=False)
