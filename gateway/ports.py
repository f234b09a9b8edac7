"""The seams of the gateway: what it asks of the database and of the broker.

Every method of a store raises TransientError while the database is away or too slow.
"""

from collections.abc import Collection, Mapping, Sequence
from contextlib import AbstractAsyncContextManager
from typing import Any, Protocol

from gateway.dashboard.ports import DashboardStore
from panda_fsm.claims import Claim, Filters, Given, GivenBack, Seat, SiteAsks
from panda_fsm.descriptions import (
    AuditRow,
    CacheFile,
    DatabaseState,
    HistoryStep,
    JobDescription,
    JobSample,
    ListedJob,
    Shown,
    TaskProgress,
    Wanted,
    Worker,
)
from panda_fsm.effects import Outgoing
from panda_fsm.information.models import Override
from panda_fsm.jobs.judgement import JobRow
from panda_fsm.jobs.plain import PlainReport, Taken
from panda_fsm.repeats import Earlier, Once
from panda_fsm.views.dead_letters import Choice, Deed, Fate, Settled
from panda_fsm.views.operations import Operation


class ClaimStore(Protocol):
    """Jobs for pilots."""

    async def claim_each(self, groups: Sequence[tuple[Filters, Sequence[Seat]]]) -> Claim:
        """Hand out waiting jobs to each group, best first, one a seat, each to one seat only; committed at return."""

    async def give_back(self, given: Sequence[Given]) -> GivenBack:
        """Take back what reached nobody, from those who have not asked again."""

    async def forget_published(self, message_ids: Sequence[str]) -> None:
        """Delete outbox rows that the broker confirmed."""

    async def paused_sites(self) -> frozenset[str]:
        """Queues of sites whose pilots get no jobs now."""


class JobRows(Protocol):
    """Jobs as access to them is decided."""

    async def jobs(self, job_ids: Sequence[int]) -> dict[int, JobRow]:
        """Jobs by id, live or archived."""

    async def working_groups(self, job_ids: Sequence[int]) -> dict[int, str]:
        """The working groups of those jobs that name one, live or archived."""


class RequestStore(JobRows, Protocol):
    """What accepting a request needs."""

    async def keep(self, messages: Sequence[Outgoing], heard: Sequence[int], audit: Sequence[AuditRow] = ()) -> None:
        """Keep all or none of the messages until their services have handled them; the pilots of `heard` were heard.

        Who asked for what is written down with them.
        On disk when it returns. When it raises nothing was kept, unless the answer was lost with the connection.
        """

    async def keep_plain(self, reports: Sequence[PlainReport]) -> list[Taken | None]:
        """Keep those that are plain, or write down that they were heard; of each what to say, None: not plain."""

    async def leave(self, message_ids: Sequence[str]) -> None:
        """Of these messages the requests among them are not published from here: the relay sends them at once."""

    async def hear(self, job_ids: Sequence[int]) -> None:
        """The pilots of these jobs live."""

    async def tick(self, name: str, grace_s: float) -> None:
        """`name` listens; after a gap nobody is lost for `grace_s`."""

    async def count_asked(self, asked: Mapping[str, SiteAsks]) -> None:
        """What pilots of these queues asked and were given since the last time."""

    async def job_id_block(self) -> int:
        """The first id of a block of PandaIDs that belongs to the caller alone."""

    async def last_job_id_block(self) -> int:
        """The first id of the block handed out last, to whomever."""

    async def submission_waits(self, age_s: float) -> bool:
        """Whether a submission that was accepted so long ago or longer still waits for its service."""

    async def job_set_id(self) -> int: ...


class RepeatStore(Protocol):
    """Requests that a client may send again because it never heard the answer."""

    async def answer_to(self, owner: str, key: str) -> Earlier | None:
        """What the request with this key was answered."""

    async def keep_once(self, asked: Sequence[Once], here: Collection[str]) -> list[Earlier | None]:
        """Keep all or none of those that did not come before; of the others, what they were answered.

        `here`: ids of unanswered requests that the caller sees to. On disk when it returns, as with `keep`.
        """

    async def settle(self, answered: Sequence[str], lost: Sequence[str]) -> None:
        """The answers of some are given and their ids forgotten; those of others never reached anybody."""


class ReadStore(JobRows, Protocol):
    """What people read, and whose it is."""

    async def describe(self, job_ids: Sequence[int]) -> dict[int, JobDescription]:
        """Jobs with specification and files, live or archived. Raises TooMuchError when they are too large together."""

    async def job_counts(self) -> list[tuple[str, str, int]]:
        """(state, queue, jobs) from the rollup."""

    async def task_progress(self, task_id: int) -> TaskProgress: ...

    async def list_jobs(self, wanted: Wanted) -> list[ListedJob]:
        """At most as many as wanted, the newest first, live ones before those that are archived."""

    async def history(self, job_id: int) -> list[HistoryStep]:
        """What a job went through; nothing of one that is not known."""

    async def samples(self, job_id: int) -> list[JobSample]:
        """How its payload did."""

    async def stdout(self, job_id: int) -> Shown | None:
        """What its pilot showed last."""


class CacheName(Protocol):
    """A name of the sandbox cache, held for one upload."""

    known: CacheFile | None
    """What has the name now."""
    used: int
    """Bytes of the owner's other files."""

    async def record(self, file: CacheFile, audit: AuditRow | None = None) -> None:
        """The name is this file's from now on; with it is written down who changed what it stands for."""

    async def renew(self) -> None:
        """What has the name is wanted again: it is kept as long as if it had come now."""


class RegisterStore(Protocol):
    """Workers, machines and sandboxes."""

    async def record_worker(self, worker: Worker) -> None: ...

    async def record_worker_node(self, queue: str, host_name: str, description: dict[str, Any]) -> None: ...

    def cache_name(self, name: str, owner: str) -> AbstractAsyncContextManager[CacheName]:
        """The name alone for the caller, and the owner's uploads one after another, until the context ends.

        What was recorded is there then; an exception leaves everything as it was.
        """

    async def cache_file_with(self, owner: str, size: int, checksum: int) -> CacheFile | None:
        """The owner's newest file with this content that is young enough to be used again; it is kept longer now."""


class OperatorStore(Protocol):
    """What is needed for operators beside what any request needs."""

    async def held_back(self, job_ids: Sequence[int]) -> set[int]:
        """Those of these jobs whose task is held."""

    async def vos_of_task(self, task_id: int) -> list[str]:
        """The VOs of its live jobs; of very many, of some."""

    async def begin(self, operation: Operation) -> bool:
        """From now on the daemon works it off; False: it is there already. Who asked is written down with it."""

    async def set_status(self, queue: str, override: Override | None, audit: AuditRow) -> bool:
        """What counts above the word of its source, None: nothing any more; False: no source has the queue."""

    async def cancel(self, operation_id: str, actor: str, name: str, reason: str) -> bool:
        """No more jobs are asked for; False: it is over already."""


class DeadLetterStore(Protocol):
    """What is done with dead letters, each deed with its audit row in one transaction."""

    async def count(self, choice: Choice) -> int:
        """How many open letters are meant."""

    async def settle(self, choice: Choice, fate: Fate, deed: Deed, most: int) -> Settled:
        """Replay or discard the open letters that are meant, at most so many."""

    async def to_edit(self, letter_id: int) -> str:
        """The body of an open letter as it is edited. Raises LetterError for one that cannot be."""

    async def difference(self, letter_id: int, wanted: str) -> str:
        """What an edited copy would change. Raises LetterError for what could not be sent."""

    async def replay_edited(self, letter_id: int, wanted: str, deed: Deed) -> str:
        """Send an edited copy in place of an open letter. Raises LetterError for what cannot be sent."""


class SharedKeyStore(Protocol):
    """Keys that all gateways share."""

    async def shared_key(self, name: str, proposed: bytes) -> bytes:
        """The key called `name`: the proposed one, if there was none."""


class Store(Protocol):
    """PostgreSQL as the gateway sees it, by what it is asked for."""

    @property
    def claims(self) -> ClaimStore: ...
    @property
    def requests(self) -> RequestStore: ...
    @property
    def repeats(self) -> RepeatStore: ...
    @property
    def reads(self) -> ReadStore: ...
    @property
    def registers(self) -> RegisterStore: ...
    @property
    def dashboard(self) -> DashboardStore: ...
    @property
    def keys(self) -> SharedKeyStore: ...
    @property
    def operators(self) -> OperatorStore: ...
    @property
    def dead_letters(self) -> DeadLetterStore: ...

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def state(self) -> DatabaseState:
        """What can be done with it now, whoever else waits for it. Raises TransientError: nothing."""


class Publisher(Protocol):
    """RabbitMQ as the gateway sees it."""

    async def open(self) -> None: ...
    async def close(self) -> None: ...

    async def publish(self, message: Outgoing) -> None:
        """Returns when the broker confirmed. Raises NotPublishedError: it may or may not be there, repeat it."""

    @property
    def is_connected(self) -> bool: ...
    @property
    def is_blocked(self) -> bool:
        """Whether the broker reads nothing of what is published: its memory or disk is full."""

    @property
    def trouble(self) -> str | None:
        """Why nothing can be published now."""
