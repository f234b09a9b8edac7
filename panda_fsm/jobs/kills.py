"""The kill matrix (docs/semantics.md §1.3) as one rule: who may, whether the pilot is asked, what the job becomes."""

from dataclasses import dataclass
from enum import Enum, auto

from panda_fsm.jobs.deadlines import Deadline
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.states import PRODUCTION_LABELS, USER_LABELS, State
from panda_fsm.jobs.table import JOB, Trigger

TO_BE_KILLED = "tobekilled"
CLOSED_BY_PILOT = 60
_CLOSING = frozenset({2, 4, 10, 51, 55, CLOSED_BY_PILOT})
"""Codes by which the system ends a job (closed); all others are somebody's wish (cancelled)."""
_MANAGER_MAY = frozenset({2, 4, 7, 8, 9, 10, 50, 51, 52, 91, 99})
"""Codes with which a production manager may end other people's user jobs."""
_FORCING = frozenset({9, 52})
_FORCING_ALWAYS = 99
_SAID_ANEW = frozenset({2, 9, 10, 51, 52, CLOSED_BY_PILOT, 99})
"""Codes that count even where the pilot is told already: what is noted of the kill is theirs from then on."""
_SUB_STATUS = {2: "toreassign", 4: "toreassign", 51: "toreassign", 55: "taskdone"}
"""By which the submitter of a closed job knows what to do with its inputs."""


@dataclass(frozen=True, slots=True)
class Killer:
    """Who wants the job gone, in relation to it."""

    is_owner: bool
    is_production: bool


class Kill(Enum):
    """What a kill does to a job."""

    NOTHING = auto()
    """It is final, or its pilot is told already."""
    ASK_PILOT = auto()
    END = auto()


def may_kill(killer: Killer, label: str, code: int) -> bool:
    """Whether a kill with this code is accepted from them."""
    return killer.is_owner or (killer.is_production and (label not in USER_LABELS or code in _MANAGER_MAY))


def production_group(label: str, working_group: str) -> str:
    """The working group whose production managers may act on the job as those of its VO do; "": none."""
    return working_group if label in PRODUCTION_LABELS else ""


def is_forced(killer: Killer, label: str, code: int) -> bool:
    """Whether the pilot of a running job is not asked."""
    if not killer.is_production:
        return False
    return code == _FORCING_ALWAYS or (code in _FORCING and label in PRODUCTION_LABELS)


def effect(state: State, command: str | None, code: int, forced: bool) -> Kill:
    """What the kill does in this state, given the command that waits for the pilot already."""
    if state in FINAL:
        return Kill.NOTHING
    asks = state in JOB.ignored[Trigger.CANCELLED]  # an unforced step is refused there: the pilot decides
    if not asks or forced:
        return Kill.END
    return Kill.NOTHING if command == TO_BE_KILLED and code not in _SAID_ANEW else Kill.ASK_PILOT


def trigger(code: int) -> Trigger:
    """The step by which a killed job ends."""
    return Trigger.CLOSED if code in _CLOSING else Trigger.CANCELLED


def deadline_trigger(deadline: Deadline) -> Trigger:
    """By which step a deadline ends a job that has not moved on, and does not go out to another pilot."""
    if deadline.kill is None:
        return Trigger.LOST
    return Trigger.EXPIRED if trigger(deadline.kill) is Trigger.CLOSED else Trigger.UNNEEDED


def sub_status(code: int) -> str | None:
    """The sub-status of a job that a kill with this code ended; None: it stays as it was."""
    return _SUB_STATUS.get(code)
