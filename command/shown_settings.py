"""The settings in force as they may be shown: with their meaning, and without what is secret."""

import json
import re
from urllib.parse import urlsplit, urlunsplit

from pydantic import SecretStr

from command.settings import Settings

_HIDDEN = "(set)"
_SECRET = re.compile(r"(?:^|_)(?:secret|secrets|password|passwords|token|tokens|key|keys|credentials)(?:_|$)")


def shown(config: Settings) -> tuple[tuple[str, str, str], ...]:
    """Name, value and meaning of each."""
    fields = type(config).model_fields
    return tuple(
        (f"PANDA_FSM_{name.upper()}", _value(name, getattr(config, name)), field.description or "")
        for name, field in fields.items()
    )


def _value(name: str, value: object) -> str:
    if isinstance(value, SecretStr) or _SECRET.search(name):
        return _HIDDEN if value else ""
    if isinstance(value, dict):
        return json.dumps(value, default=str)
    if isinstance(value, list | tuple):
        return ", ".join(map(str, value))
    text = "" if value is None else str(value)
    return _without_credentials(text) if "://" in text or "password" in text.lower() else text


def _without_credentials(address: str) -> str:
    """An address of the database or the broker: whom it is about, and nothing else that might be secret."""
    try:
        parts = urlsplit(address)
        place = parts.netloc.rpartition("@")[2]
        user = parts.username
    except ValueError:
        return _HIDDEN
    if not parts.netloc:
        return _HIDDEN  # words such as host=… password=…
    return urlunsplit((parts.scheme, f"{user}@{place}" if user else place, parts.path, "", ""))
