"""The delay queues: where a message waits that cannot be handled yet. Engine and topology read them here."""

from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import Any

SECONDS = (1, 10, 60)
"""The delays there are; the n-th retry of a message waits the n-th of them, later ones the last."""
_AS_TEXT = "as_text"


def exchange(seconds: int) -> str:
    """The exchange (and the queue) of a delay: a message published there comes back to the queue its key names."""
    return f"panda.delay.{seconds}"


def after(retries: int) -> int:
    """The delay in seconds of a message that waited that often already."""
    return SECONDS[min(retries, len(SECONDS) - 1)]


def as_text(body: bytes) -> tuple[bytes, dict[str, str]]:
    """A body for the outbox, which holds texts, and the headers that say how to read it: packed ones are none."""
    try:
        is_text = "\0" not in body.decode()
    except UnicodeDecodeError:
        is_text = False
    return (body, {}) if is_text else (b64encode(body), {_AS_TEXT: "base64"})


def as_sent(body: bytes, headers: Mapping[str, Any]) -> bytes:
    """The body as it came first."""
    if headers.get(_AS_TEXT) != "base64":
        return body
    try:
        return b64decode(body, validate=True)
    except ValueError:
        return body  # not from us: whoever reads it will say so
