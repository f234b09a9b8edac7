"""The seams of the gateway: what it asks of the database and of the broker."""

from collections.abc import Sequence
from typing import Any, Protocol

from panda_fsm.dispatch import CacheFile, Claim, Filters, JobDescription, JobRow, Seat, TaskProgress, Worker
from panda_fsm.effects import Outgoing


class Store(Protocol):
    """PostgreSQL as the gateway sees it. Every method raises TransientError while the database is away."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        """Hand out waiting jobs to each group, best first, one a seat, each to one seat only; committed at return."""

    async def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed."""

    async def keep_requests(self, messages: Sequence[Outgoing]) -> None:
        """Keep a copy of requests until their service has handled them."""

    async def hand_to_relay(self, messages: Sequence[Outgoing]) -> None: ...

    async def forget_requests(self, message_ids: Sequence[str]) -> None:
        """Drop the copies of requests that the broker did not take."""

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        """Jobs by id, live or archived."""

    async def describe(self, job_ids: Sequence[int], archive: bool) -> dict[int, JobDescription]:
        """Jobs with specification and files; archived ones only if asked for."""

    async def job_id_block(self) -> int:
        """The first id of a block of PandaIDs that belongs to the caller alone."""

    async def last_job_id_block(self) -> int:
        """The first id of the block handed out last, to whomever."""

    async def job_set_id(self) -> int: ...

    async def record_worker(self, worker: Worker) -> None: ...

    async def record_worker_node(self, site: str, host_name: str, description: dict[str, Any]) -> None: ...

    async def job_counts(self) -> list[tuple[str, str, int]]:
        """(state, site, jobs) from the rollup."""

    async def task_progress(self, task_id: int) -> TaskProgress: ...

    async def add_cache_file(self, file: CacheFile) -> CacheFile:
        """Record a file and return what the name now belongs to: the new file, or the one that was first."""

    async def cache_file_with(self, size: int, checksum: int) -> CacheFile | None:
        """The newest file with this content."""

    async def schema_version(self) -> str:
        """The newest migration that was applied."""


class Publisher(Protocol):
    """RabbitMQ as the gateway sees it."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, message: Outgoing) -> None:
        """Returns when the broker confirmed. Raises NotPublishedError: it may or may not be there, repeat it."""

    @property
    def is_connected(self) -> bool: ...
