"""Finding a thing by whatever an operator has of it: what a text could be, and what was found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from panda_fsm.specs.values import MAX_BIGINT

_NUMBER = re.compile(r"(?:[a-z ]*[ #])?([0-9]{1,19})", re.IGNORECASE)
_MESSAGE = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that is called so. `says`: how it is, in a few words."""

    kind: str
    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and what it could be. `sent_at`: when the message of this id was made."""

    text: str
    number: int | None = None
    message_id: str | None = None
    sent_at: datetime | None = None

    @property
    def tried(self) -> tuple[str, ...]:
        """Of what it was looked for."""
        if self.number is not None:
            return ("PandaID of a job", "jediTaskID", "number of a dead letter", "worker id")
        if self.message_id is not None:
            return ("id of a message: of a step of a job, in the outbox, kept as a request",)
        return ("name of a site or a queue", "user name", "worker id")


@dataclass(frozen=True, slots=True)
class Finding:
    """What was found, and of what it was looked for."""

    asked: str
    rows: tuple[Hit, ...]
    tried: tuple[str, ...]


def asked_for(text: str) -> Asked:
    """What a text could be: `4711`, `job 4711`, the id of a message, or a name."""
    text = text.strip()
    if (found := _NUMBER.fullmatch(text)) and int(found[1]) <= MAX_BIGINT:
        return Asked(text, number=int(found[1]))
    if _MESSAGE.fullmatch(text):
        milliseconds = int(text.replace("-", "")[:12], 16)
        if milliseconds < 250_000_000_000_000:  # else there is no such year
            return Asked(text, message_id=text.lower(), sent_at=datetime.fromtimestamp(milliseconds / 1000, UTC))
    return Asked(text)


def finding(asked: Asked, found: Sequence[Hit]) -> Finding:
    """What was found, each thing once."""
    return Finding(asked.text, tuple(dict.fromkeys(found)), asked.tried)
