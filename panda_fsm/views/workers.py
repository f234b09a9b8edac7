"""Processes as operators see them: who lives, who idles, who is stuck, who is missing."""

from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Literal

from panda_fsm.views.signs import ProcessRow, replaces

Standing = Literal["alive", "paused", "in trouble", "stuck", "silent", "missing"]
STUCK_S = 120.0
"""A batch that is in hand for so long does not get on; after the batch limit its process is ended."""
_WELL = frozenset({"alive", "paused"})


@dataclass(frozen=True, slots=True)
class WorkerNow(ProcessRow):
    """A process, as it showed itself last. Ages in seconds; numbers are of messages since its start.

    `busy`: the part of its event loop that a gateway needed over the last minute; its `per_s` are requests.
    """

    queue: str | None = None
    program: str = ""
    handled: int = 0
    batches: int = 0
    buried: int = 0
    put_off: int = 0
    per_s: float = 0.0
    in_hand: int = 0
    in_hand_s: float | None = None
    handled_s: float | None = None
    is_paused: bool = False
    started_at: datetime | None = None
    busy: float | None = None
    standing: Standing = field(default="alive")

    @property
    def is_well(self) -> bool:
        """Whether nobody need look after it."""
        return self.standing in _WELL


def standing_of(one: WorkerNow) -> Standing:
    """How a process does: the worst that is to be said of it."""
    if not one.is_alive:
        return "silent"
    if (one.in_hand_s or 0.0) > STUCK_S:
        return "stuck"
    if one.trouble:
        return "in trouble"
    return "paused" if one.is_paused else "alive"


@dataclass(frozen=True, slots=True)
class Workers:
    """All processes, and the services that nobody serves. `programs`: the versions that run side by side."""

    rows: tuple[WorkerNow, ...]
    missing: tuple[str, ...]
    programs: tuple[str, ...]

    @property
    def is_well(self) -> bool:
        """Whether every service is served and every process is well."""
        return not self.missing and all(one.is_well for one in self.rows)


def workers(found: Iterable[WorkerNow], expected: Collection[str]) -> Workers:
    """The processes, those that need somebody first; a silent one that another has replaced is no news."""
    rows = list(found)
    alive = [one for one in rows if one.is_alive]
    shown = [one for one in rows if one.is_alive or not any(replaces(other, one) for other in alive)]
    shown.sort(key=lambda one: (one.is_well, one.service, one.host, one.pid))
    missing = sorted(set(expected) - {one.service for one in alive})
    return Workers(tuple(shown), tuple(missing), tuple(sorted({one.program for one in alive if one.program})))
