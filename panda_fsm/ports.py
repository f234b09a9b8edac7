"""The seams: what the rules ask of the database, the broker and an experiment's plugin."""

from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from panda_fsm.effects import Effects, Outgoing
from panda_fsm.job import Job
from panda_fsm.outcomes import FileChange, NewBlock
from panda_fsm.report import OutputFile


class Transaction(Protocol):
    """One database transaction; commits when its context ends without an exception."""

    def load_locked(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        """Live jobs by id, their rows locked in job_id order until the transaction ends."""

    def lock_versions(self, job_ids: Sequence[int]) -> dict[int, tuple[int, str | None]]:
        """Lock job rows in job_id order and return their present versions and verdicts."""

    def write(self, effects: Effects) -> None:
        """Write everything with set-based statements. Fills `effects.outgoing` with what only the database knows."""


class Store(Protocol):
    """PostgreSQL as the rules see it."""

    def load(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        """Live jobs by id, without locks."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def jobs_of_blocks(self, wanted: Sequence[tuple[str, list[str] | None]]) -> list[list[int] | None]:
        """For each (block, LFNs): the live jobs with one of the files (None: any file) in it; None: no such block."""

    def archived(self, job_ids: Sequence[int]) -> set[int]:
        """Those of the ids that exist in the archive."""

    def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed; losing this is harmless."""


class Publisher(Protocol):
    """RabbitMQ for sending."""

    def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> list[Outgoing]:
        """Publish persistently in one window; returns those the broker confirmed and could route."""


@dataclass(slots=True)
class Transfer:
    """Files that must move between two storages before the job can go on."""

    block: str
    source: str
    destination: str
    seqs: list[int]


@dataclass(slots=True)
class SetupPlan:
    """What a plugin decided for one new job. `refusal` fails it, `try_later` asks again after a delay."""

    files: list[FileChange] = field(default_factory=list)
    blocks: list[NewBlock] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    refusal: str | None = None
    try_later: str | None = None


@dataclass(slots=True)
class AddPlan:
    """What a plugin did with one job's outputs: the changes of its files, and what must still move."""

    files: list[FileChange] = field(default_factory=list)
    transfers: list[Transfer] = field(default_factory=list)
    refusal: str | None = None
    try_later: str | None = None


class ExperimentPlugin(Protocol):
    """One experiment's ways: where inputs are, how blocks are called, where outputs go. Called in bulk."""

    def setup(self, jobs: Sequence[Job]) -> dict[int, SetupPlan]:
        """A plan for each new job; must answer the same for the same jobs."""

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> dict[int, AddPlan]:
        """Register the stored outputs (LFN to what the pilot reported) of each job."""


class PluginRegistry(Protocol):
    """Finds the plugin of an experiment."""

    def for_vo(self, vo: str) -> ExperimentPlugin: ...
