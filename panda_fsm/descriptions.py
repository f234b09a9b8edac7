"""What is read of jobs, tasks, workers and sandboxes. Values that gateway and store exchange."""

from dataclasses import dataclass, field
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
