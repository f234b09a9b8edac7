"""Secrets in messages are hidden where people look, and put back where an edited copy leaves them as they are.

What is hidden reads `▒1▒`, `▒2▒`, ...: an edit may leave it, or write something else instead.
"""

import re
from typing import Any, TypeVar, cast

from panda_fsm.errors import LetterError

SHADE = "\N{MEDIUM SHADE}"
_MARK = re.compile(rf"{SHADE}([1-9]\d{{0,5}}){SHADE}")
_WORDS = (
    r"(?:authorization|passw|passphrase|pwd|secret|cookie|credential|proxy|signature"
    r"|api[_-]?key|access[_-]?key|private[_-]?key|(?<!block)(?<!space)token)"
)
_SECRET_NAME = re.compile(_WORDS, re.IGNORECASE)
"""Their values are nobody's business. The token of a block or a space is the name of a place."""

# Each begins at a sign of its own or reads a bounded number of characters: no text takes longer than it is long.
_PEM = re.compile(r"-----BEGIN [A-Z0-9 ]{1,40}-----.*?(?:-----END [A-Z0-9 ]{1,40}-----|\Z)", re.DOTALL)
_JWT = re.compile(r"(?<![A-Za-z0-9_-])eyJ[A-Za-z0-9_-]{5,}\.[A-Za-z0-9_-]{5,}(?:\.[A-Za-z0-9_-]*)?")
_BEARER = re.compile(r"(?:(?<=\bbearer )|(?<=\bbasic ))[A-Za-z0-9+/._~=-]{8,}", re.IGNORECASE)
_ASSIGNED = re.compile(
    rf"(?P<name>{_WORDS}\w{{0,40}}\\{{0,3}}[\"']?\s{{0,4}}[=:]\s{{0,4}}\\{{0,3}})"
    r"(?P<value>\"(?:[^\"\\]|\\.?)*+(?:\"|\Z)|'(?:[^'\\]|\\.?)*+(?:'|\Z)|[^\s&,;\"'<>\]})]+)",
    re.IGNORECASE | re.DOTALL,
)
_IN_URL = re.compile(r"(?<=://)[^/\s:@\"'<>]*:[^/\s@\"'<>]+(?=@)")
_WHOLE = (_PEM, _JWT, _BEARER)


class Redaction:
    """What is shown of one thing; its secrets are kept here, by their numbers."""

    def __init__(self, after: int = 0) -> None:
        """Its numbers come after those of another."""
        self._after = after
        self._hidden: list[Any] = []

    @property
    def hidden(self) -> int:
        """How many secrets there are."""
        return len(self._hidden)

    def shown(self, value: Any, name: str = "") -> Any:
        """A value of JSON without its secrets; `name`: what it is called."""
        if name and _SECRET_NAME.search(name) and value not in (None, "", [], {}) and not isinstance(value, bool):
            return self._hide(value)
        match value:
            case str():
                return self.text(value)
            case dict():
                return {self.text(key): self.shown(inner, key) for key, inner in value.items()}
            case list():
                return [self.shown(inner) for inner in value]
        return value

    def text(self, text: str) -> str:
        """A text without its secrets."""
        for pattern in _WHOLE:
            text = pattern.sub(lambda found: self._hide(found[0]), text)
        text = _ASSIGNED.sub(lambda found: found["name"] + self._hide(found["value"]), text)
        return _IN_URL.sub(lambda found: self._hide(found[0]), text)

    def restored(self, value: Any) -> Any:
        """The value with the secrets that it names. Raises LetterError where it names one that there is not."""
        match value:
            case str():
                return self._restored(value, self.hidden)
            case dict():
                return {str(self.restored(key)): self.restored(inner) for key, inner in value.items()}
            case list():
                return [self.restored(inner) for inner in value]
        return value

    def _hide(self, secret: Any) -> str:
        if isinstance(secret, str) and _MARK.fullmatch(secret):
            return secret
        self._hidden.append(secret)
        return f"{SHADE}{self._after + len(self._hidden)}{SHADE}"

    def _restored(self, text: str, most: int) -> Any:
        """Secrets may hold others that were hidden before them."""
        alone = _MARK.fullmatch(text)
        if alone is not None:
            return self._secret(int(alone[1]), most)
        return _MARK.sub(lambda found: str(self._secret(int(found[1]), most)), text)

    def _secret(self, number: int, most: int) -> Any:
        if number > most:
            raise LetterError(f"{SHADE}{number}{SHADE} stands for nothing here: write what is meant")
        secret = self._hidden[number - 1]
        return self._restored(secret, number - 1) if isinstance(secret, str) else secret


def redacted(text: str) -> str:
    """A text that is only shown."""
    return Redaction().text(text)


Known = TypeVar("Known")


def shown(value: Known) -> Known:
    """Texts, and whatever holds some, as they are only shown: of errors, reports, last words."""
    return cast(Known, Redaction().shown(value)) if value else value


def named(value: Any) -> int:
    """How many secrets a value names."""
    match value:
        case str():
            return len(_MARK.findall(value))
        case dict():
            return sum(named(key) + named(inner) for key, inner in value.items())
        case list():
            return sum(map(named, value))
    return 0
