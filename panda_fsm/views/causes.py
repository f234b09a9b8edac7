"""Why jobs ended badly: their errors by hour, VO, site, component and code, with a text in which nobody is named."""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panda_fsm.messages import cut
from panda_fsm.trouble import cause_of

_LONGEST = 300
_USERS = re.compile(r"(/CN=|/home/|/users?/|user\.)[^\s/'\":,;.]+", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class BadEnd:
    """A job that ended and is not finished. `errors` as the job has them: by component code and text."""

    job_id: int
    at: datetime
    vo: str
    site: str
    user_name: str | None
    errors: dict[str, Any] | None


def masked(text: str, user_name: str | None) -> str:
    """The text without numbers, ids and names of users: equal for what went wrong alike."""
    if user_name and len(user_name) > 2:
        text = text.replace(user_name, "<user>")
    return cause_of(_USERS.sub(r"\1<user>", cut(text, _LONGEST)))


def counted(ends: Iterable[BadEnd]) -> list[dict[str, Any]]:
    """The rows to add, in the order of their keys. A job with two errors is counted with each, one with none too."""
    rows: dict[tuple[Any, ...], dict[str, Any]] = {}
    for end in ends:
        hour = end.at.replace(minute=0, second=0, microsecond=0)
        for component, code, text in _errors(end):
            key = (hour, end.vo, end.site, component, code)
            row = rows.setdefault(
                key,
                {
                    "hour": hour, "vo": end.vo, "site": end.site, "component": component, "code": code, "jobs": 0,
                    "first_at": end.at, "last_at": end.at,
                },
            )  # fmt: skip
            row["jobs"] += 1
            row["first_at"], row["last_at"] = min(row["first_at"], end.at), max(row["last_at"], end.at)
            row["sample"], row["sample_job"] = masked(text, end.user_name), end.job_id
    return [rows[key] for key in sorted(rows)]


def _errors(end: BadEnd) -> list[tuple[str, int, str]]:
    found = [
        (component, int(error.get("code") or 0), str(error.get("diag") or ""))
        for component, error in (end.errors or {}).items()
        if isinstance(error, dict)
    ]
    return found or [("", 0, "")]
