"""What a terminal shows of texts that users, pilots and other programs made: nothing in it is markup or a command."""

import re

from rich.text import Text

_CONTROL = re.compile(r"[\x00-\x08\x0b-\x1f\x7f-\x9f]")
"""What a terminal obeys instead of showing it."""
_REPLACEMENT = "\N{REPLACEMENT CHARACTER}"


def harmless(text: str) -> str:
    """The text with a sign in place of what a terminal obeys; lines and tabs stay."""
    return _CONTROL.sub(_REPLACEMENT, text)


def literal(text: str) -> Text:
    """The same for rich, which finds neither markup nor emoji in it."""
    return Text(harmless(text))
