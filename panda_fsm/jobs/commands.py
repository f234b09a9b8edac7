"""The table of commands: what services do about a job or a block without moving it; it answers for each phase too."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

from panda_fsm.jobs.states import Phase

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


TELL_PILOT = Command("tell_pilot", "watcher", ("tell",), frozenset({P.PREPARING, P.READY, P.WITH_PILOT}))
COMMANDS = (
    Command("heartbeat", "watcher.heartbeats", ("heartbeat",), frozenset({P.WITH_PILOT, P.POST_PROCESSING})),
    Command("large_report", "watcher.large", ("large.report",), frozenset({P.WITH_PILOT, P.POST_PROCESSING})),
    TELL_PILOT,
    Command("move_files", "ddm", ("block.requested",), frozenset({P.PREPARING, P.POST_PROCESSING})),
)


def named() -> Mapping[str, Command]:
    """The commands by name."""
    return {command.name: command for command in COMMANDS}
