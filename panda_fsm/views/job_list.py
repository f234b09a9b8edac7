"""Jobs in a list: which, how each is, and how many there are of each state."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panda_fsm.codes import Component
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import State
from panda_fsm.views.cursors import Cursors, Key

CURSORS = Cursors("jobs", int, int)
"""PandaID, and when it ended in microseconds since 1970; of a live job LIVE."""
LIVE = -1
_LONGEST_CODE = 9
_TONES = {State.FINISHED: "ok", State.FAILED: "bad", State.CANCELLED: "off", State.CLOSED: "off"}


def tone_of(state: str) -> str:
    """How a state is shown: only how jobs ended has a colour of its own."""
    return next((tone for known, tone in _TONES.items() if known == state), "")


@dataclass(frozen=True, slots=True)
class ErrorCode:
    """An error to look for; `component` None: whosever it is."""

    component: str | None
    code: int

    @classmethod
    def read(cls, text: str) -> "ErrorCode":
        """Of `pilot:1151` or `1151`. Raises ValueError."""
        component, colon, code = text.strip().rpartition(":")
        if (colon and component not in set(Component)) or not code.lstrip("-").isascii():
            raise ValueError(f"must be a number, or one of {', '.join(Component)} before it, as pilot:1151")
        if not code.lstrip("-").isdigit() or len(code) > _LONGEST_CODE:
            raise ValueError("must be a number, or whose error it is and a number, as pilot:1151")
        return cls(component or None, int(code))


@dataclass(frozen=True, slots=True)
class JobRow:
    """A job in a list. `since`: in its state since then; of an ended one, when it ended."""

    job_id: int
    state: str
    since: datetime
    vo: str
    site: str
    task_id: int
    user_name: str
    name: str
    label: str
    priority: int
    attempt_nr: int
    node: str | None
    errors: Mapping[str, Any]
    created_at: datetime
    is_archived: bool

    @property
    def is_final(self) -> bool:
        """Nothing more happens to it."""
        return self.state in FINAL

    @property
    def error(self) -> str:
        """The first error, whose it is and what was said."""
        for component in Component:
            if (found := self.errors.get(component)) is not None:
                return f"{component}:{found.get('code')} {found.get('diag') or ''}".strip()
        return ""


@dataclass(frozen=True, slots=True)
class JobsWanted:
    """Which jobs; None where any will do. Times are those at which live ones came into their state, others ended."""

    state: str | None = None
    site: str | None = None
    vo: str | None = None
    task: int | None = None
    user: str | None = None
    code: ErrorCode | None = None
    since: datetime | None = None
    until: datetime | None = None
    after: Key | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class JobPage:
    """A page of the list. `is_cut`: so many jobs were looked through that it goes on behind `next`, found or not."""

    rows: tuple[JobRow, ...]
    next: str | None
    is_cut: bool
    counts: Mapping[str, int]
    """Jobs of each state, by site and VO where those were asked for; of ended ones all since the beginning."""
