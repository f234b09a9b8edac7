"""Reads our pages: sections by number, tables as rows of cells, what stands in code."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(r"^```\w*\n(.*?)^```", re.MULTILINE | re.DOTALL)


def section(page: str, number: str) -> str:
    """The text below the heading with this number, up to the next heading."""
    found = re.search(rf"^#+ {re.escape(number)}\.? .*?\n(.*?)(?=^#|\Z)", page, re.MULTILINE | re.DOTALL)
    assert found, f"no section {number}"
    return found[1]


def tables(text: str) -> list[list[list[str]]]:
    """The tables of a text: rows of cells, without the heading."""
    found: list[list[list[str]]] = []
    lines = text.splitlines()
    for before, line in zip(["", *lines], lines, strict=False):
        if line.startswith("|---"):
            found.append([])
        elif line.startswith("|") and found and before.startswith("|"):
            found[-1].append([cell.strip() for cell in line.strip().strip("|").split("|")])
    return found


def code(page: str) -> list[str]:
    """What stands in code: spans between single backticks, and the lines of fenced blocks."""
    blocks = [line for block in _FENCE.findall(page) for line in block.splitlines()]
    return blocks + re.findall(r"`([^`\n]+)`", _FENCE.sub("", page))
