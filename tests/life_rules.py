"""Numbers of the model of lives, from the specification: kill codes (§1.3) and timeouts (§4.3) as people read them."""

from __future__ import annotations

from dataclasses import dataclass

CODES = (0, 2, 3, 4, 7, 8, 9, 10, 50, 51, 52, 55, 60, 91, 99)
CLOSING = (2, 4, 10, 51, 55, 60)
"""With these the system ends a job; all other codes are somebody's wish."""
ERROR_OF_KILL = {2: 102, 4: 102, 3: 103, 8: 105, 10: 130}
"""The task buffer's; of all others it is 100."""
SUB_STATUS_OF_KILL = {2: "toreassign", 4: "toreassign", 51: "toreassign", 55: "taskdone"}
SAID_ANEW = (2, 9, 10, 51, 52, 60, 99)
"""These count of a job whose pilot is told already."""
_OF_PRODUCTION = (2, 4, 7, 8, 9, 10, 50, 51, 52, 91, 99)
"""With these production may end jobs of users."""
HANDED_OUT_AGAIN = 3


def may_kill(code: int, label: str, by_production: bool) -> bool:
    """Whether its owner, or production, may end a job so."""
    return not by_production or label == "managed" or code in _OF_PRODUCTION


def is_forced(code: int, label: str) -> bool:
    """Whether production ends a running job so without asking its pilot."""
    return code == 99 or (code in (9, 52) and label == "managed")


@dataclass(frozen=True)
class Timeout:
    """So many hours in a state, and what becomes of the job: it is killed with a code, or lost for a reason."""

    hours: float
    kill: int = 0
    component: str = ""
    code: int = 0
    since_entry: bool = False


def timeouts(state: str, label: str, has_words: bool, is_idle: bool, in_vain: bool) -> list[Timeout]:
    """Those of a job of a task, of low priority; the one that passes first acts."""
    if in_vain and state not in ("sent", "merging"):
        return [*timeouts(state, label, has_words, is_idle, False), Timeout(0.5, kill=52, since_entry=True)]
    idle = [Timeout(12, kill=51, since_entry=True)] if is_idle and label == "user" else []
    return _usual(state, label, has_words) + (idle if state in ("assigned", "activated", "starting") else [])


def _usual(state: str, label: str, has_words: bool) -> list[Timeout]:
    is_managed = label == "managed"
    match state:
        case "pending" | "waiting":
            return [Timeout(1, kill=4)]
        case "defined":
            return [Timeout(4, kill=51 if is_managed else 2)]
        case "assigned":
            return [Timeout(12, kill=51) if is_managed else Timeout(168, kill=2)]
        case "activated":
            return [Timeout(48, kill=51) if is_managed else Timeout(168, kill=2)]
        case "throttled":
            return [Timeout(168, kill=2)]
        case "sent":
            return [Timeout(0.5, component="job_dispatcher", code=102)]
        case "starting" if is_managed:
            return [Timeout(2, component="job_dispatcher", code=100), Timeout(48, kill=51, since_entry=True)]
        case "starting" | "running":
            return [Timeout(2, component="job_dispatcher", code=100)]
        case "holding":
            return [Timeout(48 if is_managed else 3, component="job_dispatcher", code=103)]
        case "transferring" if not (is_managed or has_words):
            return [Timeout(2, component="job_dispatcher", code=104)]
        case "transferring":
            return [Timeout(144, component="task_buffer", code=101)]
        case "merging":
            return [Timeout(168, component="task_buffer", code=113)]
    return []
