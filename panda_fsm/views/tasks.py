"""Tasks: which have live jobs, how far one is, what JEDI asked of it and was told."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from panda_fsm.descriptions import Hop
from panda_fsm.views.audit import AuditEntry
from panda_fsm.views.cursors import Cursors, Key
from panda_fsm.views.jobs import LifeError, errors_of

CURSORS = Cursors("tasks", int)
LISTED = 200
"""So many jobs of a task are counted in the list of tasks: of more it is said that there are more."""
COUNTED = 10_000
"""The same for one task."""


@dataclass(frozen=True, slots=True)
class TaskRow:
    """A task in the list. `is_least`: it has more live jobs than were counted."""

    task_id: int
    vo: str
    label: str
    user_name: str
    states: Mapping[str, int]
    is_least: bool
    held_by: str | None
    held_at: datetime | None
    changed_at: datetime | None

    @property
    def jobs(self) -> int:
        return sum(self.states.values())


@dataclass(frozen=True, slots=True)
class TasksWanted:
    """Which tasks: all that have live jobs or are held, those that are held, or one."""

    is_held: bool = False
    task_id: int | None = None
    after: Key | None = None
    limit: int = 50


@dataclass(frozen=True, slots=True)
class TaskJob:
    """A job of a task: among the newest, or among those that failed last."""

    job_id: int
    state: str
    site: str
    attempt_nr: int
    changed_at: datetime
    errors: Mapping[str, Any] | None
    told_seq: int | None
    told_at: datetime | None

    @property
    def all_errors(self) -> tuple[LifeError, ...]:
        return errors_of(self.errors)


@dataclass(frozen=True, slots=True)
class TaskLife:
    """One task. `is_least`: not all of its jobs were counted. `files`: by type and status, of some of its live jobs."""

    task_id: int
    vo: str
    label: str
    user_name: str
    is_jedis: bool
    states: Mapping[str, int]
    is_least: bool
    held_by: str | None
    held_at: datetime | None
    to_tell: int
    hops: tuple[Hop, ...]
    newest: tuple[TaskJob, ...]
    failing: tuple[TaskJob, ...]
    files: Mapping[str, Mapping[str, int]]
    files_of: int
    deeds: tuple[AuditEntry, ...] = field(default_factory=tuple)

    @property
    def jobs(self) -> int:
        return sum(self.states.values())

    @property
    def rows(self) -> tuple[TaskJob, ...]:
        """As a table."""
        return self.newest
