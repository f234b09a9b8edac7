"""The table of commands: what services do about a job or a block without moving it; it answers for each phase too."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from panda_fsm.jobs.facts import FACTS, OnReport
from panda_fsm.jobs.states import Phase, State

P = Phase


class Answer(Enum):
    """What a command means to a job in a phase."""

    ACT = "done"
    IGNORE = "late or repeated: acknowledged, nothing changes"


@dataclass(frozen=True, slots=True)
class Command:
    """One row: a service (or its queue) that acts `on` messages, and where that has an effect."""

    name: str
    by: str
    on: tuple[str, ...]
    acts_in: frozenset[Phase]

    def answer(self, phase: Phase) -> Answer:
        """What it means to a job in this phase."""
        return Answer.ACT if phase in self.acts_in else Answer.IGNORE


TELL_PILOT = Command("tell_pilot", "watcher", ("tell",), frozenset(P) - {P.FINAL})
COMMANDS = (
    Command("heartbeat", "watcher.heartbeats", ("heartbeat",), frozenset({P.WITH_PILOT, P.POST_PROCESSING})),
    Command("large_report", "watcher.large", ("large.report",), frozenset({P.WITH_PILOT, P.POST_PROCESSING})),
    TELL_PILOT,
    Command("set_priority", "watcher.large", ("priority",), frozenset(P) - {P.FINAL}),
    Command("set_share", "watcher.large", ("share",), frozenset(P) - {P.FINAL}),
    Command("move_files", "ddm", ("block.requested",), frozenset({P.PREPARING, P.POST_PROCESSING})),
)


def may_be_told(state: State, has_report: bool) -> bool:
    """Whether a pilot hears what is to be told: the one that has the job and owes its last words, or one to come."""
    facts = FACTS[state]
    return facts.phase in TELL_PILOT.acts_in and not (facts.on_report is OnReport.LAST_WORDS and has_report)


def named() -> Mapping[str, Command]:
    """The commands by name."""
    return {command.name: command for command in COMMANDS}
