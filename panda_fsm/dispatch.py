"""What the gateway and its store exchange: claims, and jobs as they are read. Values only, no behaviour."""

from dataclasses import dataclass, field
from typing import Any

from panda_fsm.effects import Outgoing
from panda_fsm.states import State


@dataclass(frozen=True, slots=True)
class Filters:
    """Which waiting jobs a pilot can take; None means no limit. Equal filters are served by one search."""

    site: str
    labels: tuple[str, ...] | None = None
    memory: int | None = None
    disk: int | None = None
    remaining_time: int | None = None
    core_count: int | None = None
    resource_type: str | None = None
    task_id: int | None = None
    user_name: str | None = None


@dataclass(frozen=True, slots=True)
class Seat:
    """A place for one job: who will hold it, where it runs, and the id of the request that caused it."""

    cause: str
    holder: str
    node: str
    pilot: dict[str, Any]


@dataclass(slots=True)
class FileRow:
    """One file of a job as a pilot or a user sees it."""

    seq: int
    type: str
    lfn: str
    scope: str
    dataset: str
    destination_block: str
    destination: str
    token: str
    guid: str
    size: int
    checksum: str
    status: str


@dataclass(slots=True)
class JobDescription:
    """A job with its specification and files: `columns` holds the hot columns by name."""

    job_id: int
    columns: dict[str, Any]
    spec: dict[str, Any]
    files: list[FileRow]


@dataclass(slots=True)
class Claim:
    """What a claim gave: for each seat its job or None, the events in the outbox, and who was not served in full
    although jobs that fit are waiting, only locked for a moment by somebody else."""

    jobs: list[JobDescription | None]
    events: list[Outgoing]
    more_waiting: set[Filters] = field(default_factory=set)


@dataclass(slots=True)
class JobRow:
    """What is read of a job before a report or a kill is accepted."""

    job_id: int
    state: State
    attempt_nr: int
    owner: str
    holder: str | None
    label: str
    command: str | None
    batch_id: str | None
    has_report: bool


@dataclass(frozen=True, slots=True)
class CacheFile:
    """An uploaded sandbox file."""

    name: str
    owner: str
    size: int
    checksum: int


@dataclass(slots=True)
class Hop:
    """How long jobs of a task took for one step, in milliseconds."""

    name: str
    jobs: int
    p50_ms: float
    p95_ms: float
    p99_ms: float


@dataclass(slots=True)
class TaskProgress:
    """Jobs of a task per state, and the time of each hop."""

    states: dict[str, int] = field(default_factory=dict)
    hops: list[Hop] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Worker:
    """A pilot's worker as it reports itself."""

    harvester_id: str
    worker_id: str
    site: str
    node: str
    status: str
