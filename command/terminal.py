"""What a terminal shows of texts that users, pilots and other programs made: nothing in it is markup or a command.

Tables have lines and colours on a terminal; in a pipe each row is a line, its columns aligned and two spaces apart.
"""

import json
import re
import sys
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.box import SIMPLE_HEAD
from rich.cells import cell_len
from rich.console import Console
from rich.table import Table
from rich.text import Text

AsJson = Annotated[bool, typer.Option("--json", help="JSON instead of text for people")]

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2066-\u2069]")
"""What a terminal obeys instead of showing it; the last of it makes text run backwards."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"
_NOTHING = "-"
"""An empty cell in a pipe: each row has as many words as columns, or more."""
CONSOLE = Console(highlight=False, emoji=False)


def harmless(text: str) -> str:
    """The text with a sign in place of what a terminal obeys; lines and tabs stay."""
    return _CONTROL.sub(_REPLACEMENT, text)


def literal(text: str, style: str = "") -> Text:
    """The same for rich, which finds neither markup nor emoji in it."""
    return Text(harmless(text), style)


def show(columns: Sequence[str], rows: Iterable[Sequence[Any]], title: str = "") -> None:
    """A table; columns of numbers are aligned on the right. In a pipe it is plain text."""
    found = [list(row) for row in rows]
    if CONSOLE.is_terminal:
        CONSOLE.print(table(columns, found, title))
        return
    if title:
        typer.echo(f"# {_line(title)}")
    for line in _lines(columns, found, _numeric(columns, found)):
        typer.echo(line)


def say(text: str, style: str = "") -> None:
    """A sentence, as it is."""
    if CONSOLE.is_terminal:
        CONSOLE.print(literal(text, style), soft_wrap=True)
    else:
        typer.echo(harmless(text))


def aside(text: str) -> None:
    """A sentence that is no part of the result."""
    typer.echo(harmless(text), err=True)


def say_json(value: Any) -> None:
    """One JSON document on a line."""
    typer.echo(json.dumps(value, default=_plain))
    sys.stdout.flush()


def cell(value: Any) -> str:
    """A value for people: no null, times to the second and in UTC."""
    if isinstance(value, dict) and "__datetime__" in value:
        value = datetime.fromisoformat(value["__datetime__"]).replace(tzinfo=UTC)
    if isinstance(value, datetime):
        return f"{value.astimezone(UTC):%Y-%m-%d %H:%M:%S}"
    return "" if value is None else str(value)


def unknown(what: str) -> typer.Exit:
    """It is not there."""
    aside(f"{what} is not known")
    return typer.Exit(1)


def table(columns: Sequence[str], rows: Sequence[Sequence[Any]], title: str = "") -> Table:
    """The same for a terminal alone."""
    right = _numeric(columns, rows)
    shown = Table(title=literal(title) if title else None, title_justify="left", title_style="bold", box=SIMPLE_HEAD)
    for name, is_right in zip(columns, right, strict=True):
        shown.add_column(name, overflow="fold", justify="right" if is_right else "left")
    for row in rows:
        shown.add_row(*(value if isinstance(value, Text) else literal(cell(value)) for value in row))
    return shown


def _lines(columns: Sequence[str], rows: Sequence[Sequence[Any]], right: Sequence[bool]) -> Iterable[str]:
    """Each row a line, whatever stands in its cells."""
    texts = [list(columns), *([_line(cell(value)) or _NOTHING for value in row] for row in rows)]
    widths = [max(cell_len(row[place]) for row in texts) for place in range(len(columns))]
    for row in texts:
        cells = [
            " " * (width - cell_len(text)) + text if is_right else text + " " * (width - cell_len(text))
            for text, width, is_right in zip(row, widths, right, strict=True)
        ]
        yield "  ".join(cells).rstrip()


def _line(text: str) -> str:
    return harmless(" ".join(text.split()))


def _numeric(columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> list[bool]:
    return [_is_numeric(row[place] for row in rows) for place in range(len(columns))]


def _is_numeric(values: Iterable[Any]) -> bool:
    kinds = {type(value) for value in values} - {type(None)}
    return bool(kinds) and kinds <= {int, float}


def _plain(value: Any) -> str:
    """What JSON has no form for."""
    return value.astimezone(UTC).isoformat() if isinstance(value, datetime) else str(value)
