"""What operators see of texts that others wrote."""

from __future__ import annotations

from io import StringIO

from rich.console import Console

from command.terminal import literal


def test_nothing_that_others_wrote_is_obeyed() -> None:
    """Escapes, markup and emoji codes are shown; lines stay."""
    out = StringIO()
    Console(file=out, width=80).print(literal("[bold]a[/bold] 12:100:7 \x1b[2J\x9b2J\x7f\r\nb"))
    assert out.getvalue() == "[bold]a[/bold] 12:100:7 \ufffd[2J\ufffd2J\ufffd\ufffd\nb\n"
