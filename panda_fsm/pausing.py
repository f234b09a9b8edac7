"""What operators may pause, a queue or a site, and what is known of a pause (ADR 0044)."""

from collections.abc import Collection
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

from panda_fsm.bindings import PAUSES
from panda_fsm.descriptions import AuditRow
from panda_fsm.messages.operators import SetPause

PauseKind = Literal["queue", "site"]
NEVER = PAUSES[0]
"""The queue of the requests that pause and resume: paused itself, it would never hear that it may go on."""


@dataclass(frozen=True, slots=True)
class Pause:
    """What is paused by whom and why; without `until` it ends when somebody resumes it."""

    kind: PauseKind
    name: str
    actor: str
    reason: str
    since: datetime
    until: datetime | None = None

    def sentence(self) -> str:
        """In words."""
        end = f", until {self.until:%Y-%m-%d %H:%M} UTC" if self.until else ""
        since = f"{self.since:%Y-%m-%d %H:%M} UTC"
        return f"{self.kind.capitalize()} {self.name} is paused by {self.actor} since {since}{end}: {self.reason}"


def refusal(request: SetPause, queues: Collection[str], sites: Collection[str]) -> str | None:
    """Why it cannot be done, for whoever asks; `queues` are those that are served, `sites` those that are known."""
    known = queues if request.kind == "queue" else sites
    if request.name not in known:
        return f"there is no {request.kind} {request.name!r}: it is one of {', '.join(sorted(known)) or 'none'}"
    if request.kind == "queue" and request.name == NEVER and request.is_paused:
        return f"{NEVER} cannot be paused: it takes the requests to resume"
    if request.is_paused and not request.reason.strip():
        return "say why it is paused: others will ask"
    return None


def audited(request: SetPause, actor_name: str, **more: object) -> AuditRow:
    """The row of the audit that is written with the request. `more`: what else is known of who asked."""
    said = request.model_dump(mode="json", include={"reason", "until"}, exclude_none=True)
    detail = {"name": actor_name, "message_id": request.message_id} | said | more
    action = "pause_requested" if request.is_paused else "resume_requested"
    return AuditRow(request.actor_key or request.actor, action, f"{request.kind} {request.name}", detail)
