"""What is to be told to JEDI as the database has it: rows that wait to be told, and the jobs that they are about."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from panda_fsm.descriptions import FileRow

JOB_STATUS = "job_status"
"""The kind of what is told of jobs."""
EVENTS_OF_FILES = "events_of_files"
"""Among what a pilot said of its job: how many events are in its outputs, by their numbers."""


class Glance(NamedTuple):
    """What every status tells of its job, as it is now: read with each, so it is little."""

    attempt_nr: int
    site: str
    label: str
    priority: int
    node: str | None
    sub_status: str | None


@dataclass(frozen=True, slots=True)
class JobNow:
    """A job of JEDI's as it is now, live or archived; its times are seconds since 1970.

    `spec` (no more than what is told of it) and `files` are read of ended jobs only.
    """

    job_id: int
    state: str
    attempt_nr: int
    vo: str
    task_id: int
    site: str
    label: str
    priority: int
    core_count: int
    jobset_id: int
    special_handling: str
    node: str | None
    started_at: float | None
    ended_at: float | None
    pilot: dict[str, Any]
    errors: dict[str, Any]
    spec: dict[str, Any] = field(default_factory=dict)
    files: Sequence[FileRow] = ()

    @property
    def host(self) -> str | None:
        """The worker node, as its pilot calls it."""
        return self.pilot.get("node") or self.node or None

    @property
    def glance(self) -> Glance:
        """Its part that every status has."""
        sub_status = self.pilot.get("job_sub_status")
        return Glance(self.attempt_nr, self.site, self.label, self.priority, self.host, sub_status)


@dataclass(slots=True)
class Untold:
    """Something that JEDI is to be told, of a job or of a dataset: `body` is what only who wrote it knows.

    `at`: seconds since 1970. Of a live job that has not ended `glance` is enough; `job` is None there, and where there
    is none any more, or none at all.
    """

    seq: int
    msg_id: str
    kind: str
    vo: str
    task_id: int
    job_id: int | None
    state: str | None
    prev: str | None
    service: str
    at: float
    body: dict[str, Any] | None
    job: JobNow | None = None
    glance: Glance | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A part of a replay: present states, each with the number that was given to it; and where to go on, None after the
    last part."""

    jobs: list[Untold]
    after: str | None
