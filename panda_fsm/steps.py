"""What a step of a job leaves behind: its line of the history, its event, and what JEDI is told of it."""

from dataclasses import dataclass

from panda_fsm.jobs.states import State
from panda_fsm.jobs.table import Trigger
from panda_fsm.machine import Step
from panda_fsm.messages.facts import JobEvent, schema_of

JobStep = Step[Trigger, State]


@dataclass(slots=True)
class HistoryRow:
    """One transition for job_history."""

    job_id: int
    version: int
    step: JobStep
    message_id: str
    detail: str | None


@dataclass(slots=True)
class JediMessage:
    """What JEDI is to be told of a job of its own: a step, or in the same state as `before` another site, priority or
    share. `gshare` only with another share."""

    job_id: int
    version: int
    vo: str
    task_id: int
    before: State | None
    state: State
    gshare: str | None = None


def step_event(job_id: int, version: int, step: JobStep, cause: str, *, site: str, vo: str, task_id: int) -> JobEvent:
    """The event of a step: the only way to make one, for services and the claim alike."""
    return JobEvent(
        schema_version=schema_of(step.destination, step.source), job_id=job_id, version=version,
        state=step.destination, previous=step.source, trigger=step.trigger.value, site=site, vo=vo, task_id=task_id,
        cause=cause,
    )  # fmt: skip
