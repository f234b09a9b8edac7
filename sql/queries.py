"""Loads the named queries of queries/*.sql, so that SQL stands in SQL files and nowhere else."""

import re
from pathlib import Path
from typing import LiteralString, cast

_NAME = re.compile(r"^-- name: (\w+)\s*$", re.MULTILINE)


def load(file: str) -> dict[str, LiteralString]:
    """The queries of `queries/<file>.sql` by name. A name may stand once only."""
    text = (Path(__file__).parent / "queries" / f"{file}.sql").read_text()
    parts = _NAME.split(text)[1:]
    names, bodies = parts[::2], parts[1::2]
    if len(set(names)) != len(names):
        raise ValueError(f"queries/{file}.sql names a query twice")
    # The files ship with the program, so their text is as literal as a string in the code.
    return {name: cast(LiteralString, body.strip()) for name, body in zip(names, bodies, strict=True)}
