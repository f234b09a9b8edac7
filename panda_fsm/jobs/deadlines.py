"""What a deadline is: for which kind of jobs, how long, counted from what, unless what, and how they end by it."""

from dataclasses import dataclass
from enum import Enum, StrEnum
from typing import NamedTuple

from panda_fsm.codes import Component
from panda_fsm.jobs.states import MERGE


class Since(Enum):
    """What a deadline counts from."""

    HEARD = "entry, or the last that was heard of it while a pilot owes its last words"
    ENTERED = "entry, whatever its pilot says"
    CREATED = "creation"


class Activity(StrEnum):
    """What goes on around a job, which a deadline of it may look at."""

    STARTS = "starts"
    GOES_ON = "goes_on"
    AWAITED = "awaited"


SAID_BY_PILOTS = frozenset({Activity.STARTS, Activity.GOES_ON})
"""Of these something may be on its way. Programs before know no others, and tell them by no name."""
_IN_WORDS = {
    Activity.STARTS: "a job started at its queue",
    Activity.GOES_ON: "a job of its task and jobDefinitionID went on at its queue",
    Activity.AWAITED: "all jobs whose outputs it merges were there",
}


class Unless(NamedTuple):
    """A deadline does not pass while there was this activity within so many seconds."""

    activity: Activity
    seconds: int

    def __str__(self) -> str:
        hours, minutes = self.seconds // 3600, self.seconds // 60
        return f"unless {_IN_WORDS[self.activity]} within {f'{hours} h' if hours else f'{minutes} min'}"


class Kind(NamedTuple):
    """What of a job its deadlines depend on. `has_report`: its pilot's last words have come. `merges`: it is there to
    merge what others made. `no_reassign`: its submitter wants it where it is."""

    label: str
    priority: int
    has_task: bool
    has_report: bool
    merges: bool = False
    no_reassign: bool = False

    @classmethod
    def of(
        cls,
        label: str,
        priority: int,
        task_id: int,
        processing_type: str | None,
        has_report: bool = False,
        no_reassign: bool = False,
    ) -> "Kind":
        """The kind of a job of which this is known."""
        return cls(label, priority, task_id > 0, has_report, processing_type == MERGE, no_reassign)


@dataclass(frozen=True, slots=True)
class Deadline:
    """How long (seconds) jobs may stay in a state, and what ends them then: the step and the error.

    With `kill` it acts as a kill of that code; else the job has failed. It is for all jobs, or for some labels, from a
    priority on, of tasks, for those that merge, those that may be reassigned, or those whose pilot `declared` the state
    itself. Of the deadlines that a job has, the one that passes first acts; of equals, the first. One with `unless`
    counts from entry, and is looked at once that time is over: it costs nothing before.
    """

    seconds: int
    component: Component
    code: int
    diagnostic: str
    kill: int | None = None
    since: Since = Since.HEARD
    labels: frozenset[str] | None = None
    from_priority: int | None = None
    of_tasks: bool = False
    declared: bool = False
    merges: bool = False
    reassigns: bool = False
    unless: Unless | None = None

    def is_for(self, kind: Kind) -> bool:
        """Whether a job of this kind has it."""
        return (
            (self.labels is None or kind.label in self.labels)
            and (self.from_priority is None or kind.priority >= self.from_priority)
            and (kind.has_task or not self.of_tasks)
            and not (self.declared and kind.has_report)
            and (kind.merges or not self.merges)
            and not (self.reassigns and kind.no_reassign)
        )

    @property
    def jobs(self) -> str:
        """Whose it is, in words."""
        words = [
            ", ".join(sorted(self.labels or ())),
            "" if self.from_priority is None else f"priority {self.from_priority} and more",
            "of a task" if self.of_tasks else "",
            "declared by its pilot" if self.declared else "",
            "that merge" if self.merges else "",
            "that may be reassigned" if self.reassigns else "",
            "" if self.unless is None else str(self.unless),
        ]
        return "; ".join(filter(None, words)) or "all"
