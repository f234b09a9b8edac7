"""Steps of all jobs as they are written: what `panda-fsm tail` follows."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a job. `site` and `task_id` are None once the job is archived."""

    at: datetime
    job_id: int
    version: int
    source: str | None
    state: str
    trigger: str
    service: str
    host: str
    message_id: str | None
    detail: str | None
    site: str | None
    task_id: int | None


@dataclass(frozen=True, slots=True)
class StepsWanted:
    """Which steps; None where any will do. `state`: the one that jobs came to."""

    job_id: int | None = None
    site: str | None = None
    state: str | None = None


@dataclass(frozen=True, slots=True)
class StepsSeen:
    """Where to go on: all steps up to this one were looked at."""

    at: datetime
    job_id: int = 0
    version: int = 0


@dataclass(frozen=True, slots=True)
class NewSteps:
    """What came, in the order of time, and where to go on. `more`: there is more already."""

    steps: tuple[Step, ...]
    seen: StepsSeen
    more: bool
