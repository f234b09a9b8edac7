"""What is read of jobs, tasks, workers and sandboxes. Values that gateway and store exchange."""

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


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


@dataclass(frozen=True, slots=True)
class AuditRow:
    """Who did what, and to what; `actor` is an identity's key, its name is in the detail."""

    actor: str
    action: str
    object: str
    detail: dict[str, Any]


@dataclass(frozen=True, slots=True)
class CacheFile:
    """An uploaded sandbox file, as the gateway saw it: `checksum` is the CRC of a gzip file's content, or NO_CHECKSUM.

    `digest` tells contents apart; None: recorded by a program that did not compute it.
    """

    name: str
    owner: str
    size: int
    checksum: int
    digest: str | None = None


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
class Wanted:
    """Which jobs a list is of; None where any will do. `since` and `until` in seconds since 1970.

    `after`: (PandaID, None) of the last live job that is known already, (PandaID, end in microseconds) of an archived.
    """

    task_id: int | None = None
    user_name: str | None = None
    state: str | None = None
    since: int | None = None
    until: int | None = None
    after: tuple[int, int | None] | None = None
    limit: int = 100


@dataclass(frozen=True, slots=True)
class ListedJob:
    """A job in a list."""

    job_id: int
    state: str
    task_id: int
    site: str
    user_name: str
    label: str
    priority: int
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    is_archived: bool


@dataclass(frozen=True, slots=True)
class HistoryStep:
    """A step that a job made, with its cause."""

    version: int
    trigger: str
    source: str | None
    state: str
    at: datetime
    service: str
    host: str
    message_id: str | None
    detail: str | None


@dataclass(frozen=True, slots=True)
class JobSample:
    """How a payload did at a time, by the names of reports."""

    at: datetime
    cpu_consumption_time: int | None
    max_rss: int | None
    max_pss: int | None
    n_events: int | None
    tot_rbytes: int | None
    tot_wbytes: int | None


@dataclass(frozen=True, slots=True)
class Shown:
    """What a pilot showed of its job, and when."""

    at: datetime
    stdout: str


@dataclass(frozen=True, slots=True)
class Worker:
    """A pilot's worker as it reports itself; `site` is a PanDA queue."""

    harvester_id: str
    worker_id: str
    site: str
    node: str
    status: str


@dataclass(frozen=True, slots=True)
class DatabaseState:
    """What a database is good for: its newest migration, whether it can only be read, and who works with it.

    `served`: services of which a process lives, with what keeps all of them from working; None: nothing does.
    """

    schema: str | None
    is_read_only: bool
    served: dict[str, str | None]
