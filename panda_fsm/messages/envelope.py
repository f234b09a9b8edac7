"""What every message carries, and the exchanges there are."""

import time
from random import getrandbits
from typing import Annotated, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints

REQUESTS = "panda.requests"
"""Exchange for what the outside asks or reports."""
EVENTS = "panda.events"
"""Exchange for facts: `job.<state>`, `job.outputs_added`, `block.closed`, and what services ask of each other."""

SCHEMA = 2
"""The newest schema of messages. A newer one waits for a newer program instead of being called poison: what programs of
the release before cannot read says 2, everything else 1."""
Schema = Literal[1, 2]
LONGEST_REASON = 500
"""Characters of a reason or diagnostic: it is cut where it is made, for it travels in headers and rows."""
LARGEST_BODY = 15 * 1024 * 1024
"""Bytes. RabbitMQ 4 takes 16 MiB unless told otherwise, and closes the channel under all others for one more."""


def cut(text: str, limit: int = LONGEST_REASON) -> str:
    """A text of others, short enough to travel: the beginning says what it is about."""
    return text if len(text) <= limit else f"{text[: limit - 1]}…"


def new_message_id() -> str:
    """A UUIDv7: unique, and ordered by time to a quarter of a microsecond.

    So the outbox index grows at one end, and of two messages it is known which is the newer one.
    """
    milliseconds, rest = divmod(time.time_ns(), 1_000_000)
    number = milliseconds << 80 | 7 << 76 | (rest << 12) // 1_000_000 << 64 | 2 << 62 | getrandbits(62)
    text = f"{number:032x}"
    return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def made_at(message_id: str) -> float | None:
    """When a message was made, in seconds since 1970, by its id; None: its maker gives ids of another kind."""
    return int(message_id[:8] + message_id[9:13], 16) / 1000 if message_id[14:15] == "7" else None


class Message(BaseModel):
    """What every message carries. Ids live in the body: STOMP refuses a message-id header.

    Fields that this program does not know are ignored: a newer one may run beside it.
    """

    model_config = ConfigDict(extra="ignore")
    exchange: ClassVar[str] = REQUESTS

    schema_version: Schema = 1
    message_id: Annotated[str, StringConstraints(pattern=r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")] = Field(
        default_factory=new_message_id
    )
    cause: str | None = None

    @property
    def routing_key(self) -> str:
        raise NotImplementedError

    @property
    def job_ids(self) -> tuple[int, ...]:
        """The jobs that must be loaded to handle this message."""
        return ()

    @property
    def sets(self) -> str | None:
        """What of its jobs it sets anew, so that an older message which comes later says nothing any more."""
        return None

    def encode(self) -> bytes:
        """The body as it goes on the wire."""
        return self.__pydantic_serializer__.to_json(self, exclude_none=True)  # without a detour by way of a text


class JobMessage(Message):
    """A message about one job."""

    job_id: Annotated[int, Field(ge=1, le=2**63 - 1)]

    @property
    def job_ids(self) -> tuple[int, ...]:
        return (self.job_id,)


class Foreign(Message):
    """What comes in the words of others: the service that it comes to has read it in its own way."""

    msg_type: Literal["foreign"] = "foreign"
