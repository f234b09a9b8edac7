"""What operators ask of the server itself."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from panda_fsm.jobs.drafts import Name, Text
from panda_fsm.messages.envelope import Message, Schema


class SetPause(Message):
    """A queue's services shall take no more messages, or a site's pilots get no more jobs; or both shall again.

    `actor` is a name, the key says who it was. With `until` a pause ends by itself.
    """

    schema_version: Schema = 2
    msg_type: Literal["set_pause"] = "set_pause"
    kind: Literal["queue", "site"]
    name: Annotated[Name, Field(min_length=1)]
    is_paused: bool
    actor: Name = ""
    actor_key: Name | None = None
    reason: Text = ""
    until: AwareDatetime | None = None

    @property
    def routing_key(self) -> str:
        return "pause"
