"""The seams: what the engine asks of the database and the broker, and what services ask of plugins and catalogues."""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

from panda_fsm.effects import Effects, Outgoing
from panda_fsm.jobs.job import Job
from panda_fsm.jobs.names import NameRule
from panda_fsm.jobs.report import OutputFile
from panda_fsm.outcomes import KnownBlock, NewBlock
from panda_fsm.plans import Later, Plan, Plans, Refuse, Replicas, StoredFile

Said = tuple[int, str]
"""A job, and what of it a message sets."""


class Transaction(Protocol):
    """One database transaction; commits when its context ends without an exception."""

    def load_locked(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        """Live jobs by id, locked in job_id order until the transaction ends; what somebody else holds is left out."""

    def lock_versions(self, job_ids: Sequence[int]) -> dict[int, tuple[int, str | None]]:
        """Lock job rows in job_id order, but those somebody else holds; their present versions and verdicts."""

    def remember(self, message_ids: Sequence[str]) -> set[str]:
        """Put ids of messages into the inbox; those that it did not know."""

    def newest(self, said: Mapping[Said, str]) -> set[Said]:
        """Note which message said this last; what had not been said yet by that message or a newer one."""

    def known_blocks(self, locked: Collection[str], others: Collection[str]) -> Mapping[str, KnownBlock]:
        """Those of the blocks that exist. `locked`: if they take files, they do until the transaction ends; nobody is
        waited for who has one of them in hand."""

    def write(self, effects: Effects) -> None:
        """Write everything with set-based statements. Fills `effects.outgoing` with what only the database knows."""


class Store(Protocol):
    """PostgreSQL as the engine sees it."""

    def load(self, job_ids: Sequence[int], files: bool, report: bool) -> dict[int, Job]:
        """Live jobs by id, without locks."""

    def transaction(self) -> AbstractContextManager[Transaction]: ...

    def jobs_of_blocks(self, wanted: Sequence[tuple[str, list[str] | None]]) -> list[list[int] | None]:
        """For each (block, LFNs): the live jobs with one of the files (None: any file) in it; None: no such block."""

    def live(self, job_ids: Sequence[int]) -> set[int]:
        """Those of the ids that are live jobs, locked by somebody or not."""

    def archived(self, job_ids: Sequence[int]) -> set[int]:
        """Those of the ids that exist in the archive."""

    def oldest_submission_s(self) -> float:
        """The age of the oldest accepted submission that is not handled yet, 0 if there is none."""

    def kept(self, message_ids: Sequence[str]) -> set[str]:
        """Those of the messages that are accepted requests which nobody has handled yet."""

    def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed; losing this is harmless."""


@dataclass(slots=True)
class Published:
    """What became of a window of messages. What is in none of these may or may not have arrived."""

    confirmed: list[Outgoing] = field(default_factory=list)
    returned: list[Outgoing] = field(default_factory=list)
    """No queue takes them (now)."""
    declined: list[Outgoing] = field(default_factory=list)
    """The broker nacked them, or said nothing of them all the time though it was there."""
    refused: dict[str, str] = field(default_factory=dict)
    """By message id, why the broker will never take them."""
    lost: str | None = None
    """Why the channel was closed in the middle, where the broker said that a message was to blame."""


@dataclass(slots=True)
class Unsent:
    """A message that the relay is to publish, how often that failed, and how old it is."""

    message: Outgoing
    tries: int
    age_s: float


class Publisher(Protocol):
    """RabbitMQ for sending."""

    def publish(self, messages: Sequence[Outgoing], timeout_s: float) -> Published:
        """Publish persistently in one window, and wait for the broker's word."""


class Catalogue(Protocol):
    """Where files are, asked in bulk. A DDM brings one."""

    def replicas(self, files: Sequence[tuple[str, str]]) -> Mapping[tuple[str, str], Replicas]:
        """For each (scope, LFN): the storages that hold it, and those that could not be looked at."""

    def register(self, files: Sequence[StoredFile]) -> Mapping[StoredFile, Later | Refuse]:
        """Know from now on that storages have these files; one that is known already is no mistake.

        Returns those of which that could not be confirmed, with the reason.
        """

    def register_blocks(self, blocks: Mapping[NewBlock, Sequence[tuple[str, str]]]) -> None:
        """Know blocks, and files of theirs by (scope, LFN); what is known already is no mistake."""


class ExperimentPlugin(Protocol):
    """One experiment's ways: where inputs are, how blocks are called, where outputs go. Made with (sites, catalogue).

    Called in bulk and in a thread of its own; a call that hangs is left behind, and another may begin. `names`: which
    LFNs its catalogue takes.
    """

    @property
    def names(self) -> NameRule: ...

    def setup(self, jobs: Sequence[Job]) -> Mapping[int, Plan]:
        """A plan for each new job. The same jobs may be asked about again: after a crash, when a block is closed, when
        they are reassigned."""

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> Mapping[int, Plan]:
        """Register the stored outputs (LFN to what the pilot reported) of each job."""

    def keep_logs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> Mapping[int, Plan]:
        """Register the stored log of each job, which is about to fail: nobody will wait until it has moved."""


class Experiments(Protocol):
    """Asks each experiment's plugin about its own jobs; whatever a plugin does, each job gets a plan."""

    def setup(self, jobs: Sequence[Job]) -> Plans:
        """A plan for every one of the jobs; trouble of a plugin is `Later` for its own jobs."""

    def add_outputs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> Plans:
        """The same for stored outputs."""

    def keep_logs(self, jobs: Sequence[tuple[Job, dict[str, OutputFile]]]) -> Plans:
        """The same for the stored logs of jobs that fail."""

    def mistrust(self, job: Job, error: str) -> bool:
        """The last plan for a job could not be written: the next is `Later`. False: there was none of a plugin's."""

    def accuse(self, job: Job, error: str) -> None:
        """That could be written: its experiment is in trouble."""

    def refusal(self, vo: str, lfn: str) -> str | None:
        """Why the experiment's catalogue could never register a file of this name, as far as its rule is known."""
