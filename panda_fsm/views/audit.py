"""The audit: who did what, to what, when."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panda_fsm.views.cursors import Cursors, Key

CURSORS = Cursors("audit", int)

DEEDS: Mapping[str, str] = {
    "jobs_submitted": "submitted jobs",
    "kill_requested": "asked to end jobs",
    "reassign_requested": "asked to set jobs up anew",
    "pilot_told": "told a job's pilot",
    "sandbox_uploaded": "uploaded a sandbox",
    "dead_letter_replayed": "replayed a dead letter",
    "dead_letter_discarded": "discarded a dead letter",
    "priority_set": "asked for another priority",
    "release_requested": "asked to let jobs go",
    "task_held": "held a task",
    "operation_begun": "began an operation",
    "operation_cancelled": "cancelled an operation",
    "task_resumed": "let a task go on",
    "queue_status_set": "set the status of a PanDA queue",
    "queue_status_lifted": "lifted the status of a PanDA queue",
    "queues_imported": "imported PanDA queues",
    "removals_allowed": "let a source take entries away",
}
"""What is written down most, in an operator's words; the rest reads as it is called."""


@dataclass(frozen=True, slots=True)
class AuditEntry:
    """One deed. `actor` is an identity's key, `name` what it was called then."""

    audit_id: int
    at: datetime
    actor: str
    name: str
    action: str
    object: str
    detail: Mapping[str, Any]

    @property
    def deed(self) -> str:
        """The action in words."""
        return DEEDS.get(self.action, self.action.replace("_", " "))

    @property
    def who(self) -> str:
        """As people call the actor."""
        return self.name or self.actor

    @property
    def reason(self) -> str:
        """Why, where somebody said so."""
        return str(self.detail.get("reason") or "")

    @property
    def told(self) -> tuple[tuple[str, str], ...]:
        """What else is known of it, in words."""
        return tuple(
            (name.replace("_", " "), value if isinstance(value, str) else json.dumps(value))
            for name, value in self.detail.items()
            if name not in ("name", "reason")
        )


@dataclass(frozen=True, slots=True)
class AuditWanted:
    """Which deeds; None where any will do. `actor` is a name or a key."""

    actor: str | None = None
    action: str | None = None
    object: str | None = None
    since: datetime | None = None
    after: Key | None = None
    limit: int = 50
