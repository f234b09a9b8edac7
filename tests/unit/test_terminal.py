"""What operators see of texts that others wrote."""

from __future__ import annotations

from io import StringIO

import pytest
from rich.console import Console

from command import terminal
from command.terminal import literal


def test_nothing_that_others_wrote_is_obeyed() -> None:
    """Escapes, markup and emoji codes are shown; lines stay."""
    out = StringIO()
    Console(file=out, width=80).print(literal("[bold]a[/bold] 12:100:7 \x1b[2J\x9b2J\x7f\r\u202eb\nb"))
    assert out.getvalue() == "[bold]a[/bold] 12:100:7 \ufffd[2J\ufffd2J\ufffd\ufffd\ufffdb\nb\n"


def test_a_pipe_gets_a_line_a_row_in_aligned_columns(capsys: pytest.CaptureFixture[str]) -> None:
    """Whatever stands in a cell: no boxes, no colours, no further lines; numbers are aligned on the right."""
    rows = [("x\ny\tz", 5, None), ("\x1b[2J", 12345, "[red]end"), ("\u4e2d", None, "")]
    terminal.show(("name", "jobs", "note"), rows)
    terminal.say("[bold]as it is\x1b")
    assert capsys.readouterr().out.splitlines() == [
        "name    jobs  note",
        "x y z      5  -",
        "\ufffd[2J   12345  [red]end",
        "\u4e2d         -  -",
        "[bold]as it is\ufffd",
    ]
