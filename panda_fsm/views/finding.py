"""Finding a thing by whatever an operator has of it: what a text could be, and what was found."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from panda_fsm.messages import made_at
from panda_fsm.specs.values import MAX_BIGINT

_NUMBER = re.compile(r"(?:[a-z ]*[ #])?([0-9]{1,19})", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_LAST_YEAR = 250_000_000_000
"""In seconds since 1970: what says it was made later was not made by us."""
_NAMES = (
    "name of a site, a queue or a worker node", "user name", "worker id", "name of a live job", "block",
    "sandbox", "fingerprint of open dead letters",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Hit:
    """Something that is called so. `says`: how it is, in a few words."""

    kind: str
    name: str
    says: str


@dataclass(frozen=True, slots=True)
class Asked:
    """What was asked for, and what it could be. `sent_at`: when the message of this id was made, if it is ours."""

    text: str
    number: int | None = None
    message_id: str | None = None
    sent_at: datetime | None = None

    @property
    def tried(self) -> tuple[str, ...]:
        """Of what it was looked for."""
        if self.number is not None:
            return (
                "PandaID of a job", "jediTaskID", "jobsetID and reqID of live jobs", "number of a dead letter",
                "worker id",
            )  # fmt: skip
        if self.message_id is not None:
            return (
                "id of a message: of a step of a job, in the outbox, kept as a request", "id of an operation", *_NAMES
            )  # fmt: skip
        return _NAMES


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
    if _UUID.fullmatch(text):
        made = made_at(text)
        sent_at = None if made is None or made > _LAST_YEAR else datetime.fromtimestamp(made, UTC)
        return Asked(text, message_id=text.lower(), sent_at=sent_at)
    return Asked(text)


def finding(asked: Asked, found: Sequence[Hit]) -> Finding:
    """What was found, each thing once."""
    return Finding(asked.text, tuple(dict.fromkeys(found)), asked.tried)
