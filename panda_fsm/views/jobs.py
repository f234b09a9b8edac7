"""One job: its life with causes, files, reports, errors and relations, as they are shown."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from panda_fsm.codes import Component
from panda_fsm.descriptions import JobSample, Shown
from panda_fsm.jobs.facts import FINAL
from panda_fsm.jobs.job import Job
from panda_fsm.views.audit import AuditEntry

REPEATS: Mapping[str, str] = {
    "report.finished": "the final report came again",
    "report.failed": "the final report came again",
    "report.starting": "a report that it starts came late",
    "report.running": "a report that it runs came late",
    "deadline": "a deadline was announced that had passed in time",
    "kill": "a kill came again",
    "reassign": "a reassign came late",
    "release": "a release came again",
    "submit": "the submission came again",
}
"""What a message that changed nothing was, by its key."""
LONGEST_STDOUT = 8000
COMPONENTS: Mapping[str, str] = {
    Component.PILOT: "pilot", Component.EXE: "payload", Component.TRANS: "transformation", Component.SUP: "supervisor",
    Component.DDM: "data", Component.BROKERAGE: "brokerage", Component.JOB_DISPATCHER: "dispatcher",
    Component.TASK_BUFFER: "server", Component.KILL: "kill",
}  # fmt: skip
"""Whose error it is, in words."""


@dataclass(frozen=True, slots=True)
class LifeStep:
    """A step of a life. `took_s`: since the one before. `by`: the actor, where somebody asked for it."""

    at: datetime
    took_s: float | None
    source: str | None
    state: str
    trigger: str
    cause: str
    service: str
    host: str
    message_id: str | None
    version: int


@dataclass(frozen=True, slots=True)
class Repeated:
    """Messages that came late or again and changed nothing: what they said, how often, and when last."""

    what: str
    times: int
    last_at: datetime

    @property
    def words(self) -> str:
        """In a sentence."""
        said = REPEATS.get(self.what, f"{self.what} came late or again")
        return f"{said}: {'once' if self.times == 1 else f'{self.times:,} times'}, and changed nothing"


@dataclass(frozen=True, slots=True)
class LifeFile:
    """A file of a job; `asked_at`: when its block was made, which is when somebody was asked to move it."""

    lfn: str
    type: str
    scope: str
    dataset: str
    size: int
    status: str
    destination: str
    destination_block: str
    block: str | None
    block_status: str | None
    source: str | None
    target: str | None
    asked_at: datetime | None


@dataclass(frozen=True, slots=True)
class LifeError:
    """An error: whose, its code, and what was said."""

    component: str
    code: int
    text: str


@dataclass(frozen=True, slots=True)
class LifeReport:
    """Last words of a pilot, without what is long of them."""

    attempt_nr: int
    state: str
    received_at: datetime
    attributes: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Related:
    """Another job, how it belongs to this one, and how it does."""

    job_id: int
    how: str
    state: str | None
    errors: Mapping[str, Any] | None

    @property
    def why(self) -> str:
        """What went wrong with it."""
        return "; ".join(f"{one.component} {one.code}: {one.text}" for one in errors_of(self.errors))


@dataclass(frozen=True, slots=True)
class Places:
    """Where else the job is noted: its appointment, when it was heard of, its worker, what JEDI was told.

    `peers`: so many are in its state at its site, with it.
    """

    look_at: datetime | None = None
    trouble: str | None = None
    heard_at: datetime | None = None
    is_waiting: bool = False
    held_by: str | None = None
    held_at: datetime | None = None
    told_seq: int | None = None
    told_at: datetime | None = None
    is_told: bool = True
    worker_status: str | None = None
    worker_seen_at: datetime | None = None
    peers: int | None = None


@dataclass(frozen=True, slots=True)
class JobNow:
    """A job as it is: the job as services know it, and what only people ask for."""

    job: Job
    is_archived: bool
    name: str
    user_name: str
    owner: str
    job_definition_id: int
    jobset_id: int
    core_count: int
    min_ram: int
    max_disk: int
    max_walltime: int
    resource_type: str
    holder: str | None
    node: str | None
    left_by: Sequence[str] | None
    errors: Mapping[str, Any] | None
    pilot: Mapping[str, Any]
    modified_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    is_background: bool
    max_attempt: int | None
    gshare: str | None
    working_group: str | None
    transformation: str | None

    @property
    def is_final(self) -> bool:
        return self.job.state in FINAL

    @property
    def pilot_id(self) -> str:
        """What its pilot calls itself."""
        return str(self.pilot.get("pilot_id") or self.pilot.get("worker_id") or self.holder or "")


@dataclass(frozen=True, slots=True)
class Why:
    """Why a job is where it is: a sentence, what else there is to know, what comes by itself, and what one could do."""

    sentence: str
    more: tuple[str, ...]
    comes: tuple[str, ...]
    could: tuple[str, ...]

    def __str__(self) -> str:
        return " ".join((self.sentence, *self.more, *self.comes))


@dataclass(frozen=True, slots=True)
class JobLife:
    """Everything of a job. `files_in_all`: of many files some are shown."""

    now: JobNow
    places: Places
    why: Why | None
    steps: tuple[LifeStep, ...]
    repeated: tuple[Repeated, ...]
    files: tuple[LifeFile, ...]
    files_in_all: int
    reports: tuple[LifeReport, ...]
    samples: tuple[JobSample, ...]
    stdout: Shown | None
    errors: tuple[LifeError, ...]
    deeds: tuple[AuditEntry, ...]
    related: tuple[Related, ...]
    as_of: datetime

    @property
    def rows(self) -> tuple[LifeStep, ...]:
        """As a table."""
        return self.steps

    @property
    def moments(self) -> tuple[LifeStep | Repeated, ...]:
        """Steps and what was ignored, in the order of time: of that, when it came last."""
        both: list[tuple[datetime, int, LifeStep | Repeated]] = [(one.at, 0, one) for one in self.steps]
        both += [(one.last_at, 1, one) for one in self.repeated]
        return tuple(one for _, _, one in sorted(both, key=lambda moment: moment[:2]))

    @property
    def load(self) -> JobSample | None:
        """How its payload did last."""
        return self.samples[-1] if self.samples else None


def errors_of(errors: Mapping[str, Any] | None) -> tuple[LifeError, ...]:
    """The errors in a job's row; what is not as we write it is shown all the same."""
    found = []
    for component, one in (errors or {}).items():
        code = one.get("code") if isinstance(one, dict) else None
        text = str(one.get("diag") or "") if isinstance(one, dict) else str(one)
        found.append(LifeError(COMPONENTS.get(component, component), code if isinstance(code, int) else 0, text))
    return tuple(found)
