"""Tasks of which no pilot gets a job: what is asked of their jobs, in portions (ADR 0041)."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from panda_fsm.messages.users import MOST_OF_TASK, JobsOfTask, ThrottleJobs

Portion = TypeVar("Portion", bound=JobsOfTask)


@dataclass(frozen=True, slots=True)
class TaskHold:
    """Whether a task is held from now on, and who wants it so."""

    task_id: int
    is_held: bool
    actor: str


def portions(kind: type[Portion], job_ids: Sequence[int], actor: str, **wanted: Any) -> Iterator[Portion]:
    """The messages that want this of all these jobs."""
    for first in range(0, len(job_ids), MOST_OF_TASK):
        yield kind(jobs=list(job_ids[first : first + MOST_OF_TASK]), actor=actor, **wanted)


def throttles(job_ids: Sequence[int], *, is_held: bool, actor: str) -> Iterator[ThrottleJobs]:
    """Jobs are held back from pilots with their task, or let go with it."""
    return portions(ThrottleJobs, job_ids, actor, throttle=is_held)
