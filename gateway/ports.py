"""The seams of the gateway: what it asks of the database and of the broker.

Every method of a store raises TransientError while the database is away or too slow.
"""

from collections.abc import Sequence
from typing import Any, Protocol

from panda_fsm.claims import Claim, Filters, Seat
from panda_fsm.descriptions import AuditRow, CacheFile, JobDescription, TaskProgress, Worker
from panda_fsm.effects import Outgoing
from panda_fsm.jobs.judgement import JobRow


class ClaimStore(Protocol):
    """Jobs for pilots."""

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        """Hand out waiting jobs to each group, best first, one a seat, each to one seat only; committed at return."""

    async def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed."""


class RequestStore(Protocol):
    """What accepting a request needs."""

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        """Jobs by id, live or archived."""

    async def keep(self, messages: Sequence[Outgoing], heard: Sequence[int], audit: Sequence[AuditRow] = ()) -> None:
        """Keep all or none of the messages until their services have handled them; the pilots of `heard` were heard.

        Who asked for what is written down with them.
        On disk when it returns. When it raises nothing was kept, unless the answer was lost with the connection.
        """

    async def hear(self, job_ids: Sequence[int]) -> None:
        """The pilots of these jobs live."""

    async def tick(self, name: str, grace_s: float) -> None:
        """`name` listens; after a gap nobody is lost for `grace_s`."""

    async def job_id_block(self) -> int:
        """The first id of a block of PandaIDs that belongs to the caller alone."""

    async def last_job_id_block(self) -> int:
        """The first id of the block handed out last, to whomever."""

    async def submission_waits(self, age_s: float) -> bool:
        """Whether a submission that was accepted so long ago or longer still waits for its service."""

    async def job_set_id(self) -> int: ...


class ReadStore(Protocol):
    """What people read."""

    async def describe(self, job_ids: Sequence[int]) -> dict[int, JobDescription]:
        """Jobs with specification and files, live or archived."""

    async def job_counts(self) -> list[tuple[str, str, int]]:
        """(state, queue, jobs) from the rollup."""

    async def task_progress(self, task_id: int) -> TaskProgress: ...


class RegisterStore(Protocol):
    """Workers, machines and sandboxes."""

    async def record_worker(self, worker: Worker) -> None: ...

    async def record_worker_node(self, queue: str, host_name: str, description: dict[str, Any]) -> None: ...

    async def add_cache_file(self, file: CacheFile) -> CacheFile:
        """Record a file and return what the name now belongs to: the new file, or the one that was first."""

    async def cache_file_with(self, size: int, checksum: int) -> CacheFile | None:
        """The newest file with this content."""


class Store(Protocol):
    """PostgreSQL as the gateway sees it, by what it is asked for."""

    @property
    def claims(self) -> ClaimStore: ...
    @property
    def requests(self) -> RequestStore: ...
    @property
    def reads(self) -> ReadStore: ...
    @property
    def registers(self) -> RegisterStore: ...

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def schema_version(self) -> str:
        """The newest migration that was applied; an answer means that every part of the store works."""


class Publisher(Protocol):
    """RabbitMQ as the gateway sees it."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, message: Outgoing) -> None:
        """Returns when the broker confirmed. Raises NotPublishedError: it may or may not be there, repeat it."""

    @property
    def is_connected(self) -> bool: ...
